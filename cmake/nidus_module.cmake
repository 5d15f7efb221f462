# nidus_module(NAME [APART] SOURCES … COLD … USES … LIBRARIES … TESTS … BENCHES … FUZZES …)
#
# Declares the library nidus::NAME from the sources of this folder. COLD sources, and tests, are optimised less in
# a release, which halves the time that the largest of them take to compile: a person waits for the first ./run.
# With NIDUS_FIRST_BUILD several sources are compiled as one, and the standard headers once for all modules: names in
# unnamed namespaces must differ within a module. In a module that is APART only the COLD ones are: its others were
# tuned each by itself, and what a compiler inlines depends on how much it sees.
# USES names the modules it may include, which is linked by the linker and checked by the test NAME.layers. Each
# *_test.cc goes into one program NAME_test, each *_bench.cc into NAME_bench. Each *_fuzz.cc becomes a libFuzzer
# target where NIDUS_FUZZ is on, and always a test that replays tests/corpus/TARGET/*.

set(nidus_root ${CMAKE_CURRENT_LIST_DIR}/..)

add_library(nidus_flags INTERFACE)
target_compile_options(nidus_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Woverloaded-virtual
  -Wimplicit-fallthrough -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overlaps inside std::string where there are none: gcc.gnu.org/PR105329 and PR105651.
  target_compile_options(nidus_flags INTERFACE -Wno-restrict)
endif()
if(NIDUS_FIRST_BUILD)
  target_compile_options(nidus_flags INTERFACE -w)  # of what is seen together, but is not together
endif()
if(NIDUS_WERROR)
  target_compile_options(nidus_flags INTERFACE -Werror)
endif()
if(NIDUS_SANITIZE)
  target_compile_options(nidus_flags INTERFACE -fsanitize=${NIDUS_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(nidus_flags INTERFACE -fsanitize=${NIDUS_SANITIZE})
endif()
if(NIDUS_FUZZ)
  target_compile_options(nidus_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(nidus_module name)
  cmake_parse_arguments(M "APART" "" "SOURCES;COLD;USES;LIBRARIES;TESTS;BENCHES;FUZZES" ${ARGN})
  set(used "")
  foreach(module ${M_USES})
    list(APPEND used nidus::${module})
  endforeach()
  add_library(nidus_${name} STATIC ${M_SOURCES})
  add_library(nidus::${name} ALIAS nidus_${name})
  if(NIDUS_FIRST_BUILD AND NOT M_APART)
    set_target_properties(nidus_${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
  endif()
  set(parts nidus_${name})
  if(M_COLD)
    add_library(nidus_${name}_cold OBJECT ${M_COLD})
    target_compile_options(nidus_${name}_cold PRIVATE $<$<CONFIG:Release>:-O1>)
    set_target_properties(nidus_${name}_cold PROPERTIES UNITY_BUILD ${NIDUS_FIRST_BUILD} UNITY_BUILD_BATCH_SIZE 20)
    target_sources(nidus_${name} PRIVATE $<TARGET_OBJECTS:nidus_${name}_cold>)
    list(APPEND parts nidus_${name}_cold)
  endif()
  foreach(part ${parts})
    target_include_directories(${part} PUBLIC ${nidus_root}/src)
    target_link_libraries(${part} PUBLIC ${used} ${M_LIBRARIES} PRIVATE nidus_flags)
    if(NIDUS_FIRST_BUILD AND NOT part STREQUAL nidus_base)
      target_precompile_headers(${part} REUSE_FROM nidus_base)
    elseif(NIDUS_FIRST_BUILD)
      target_precompile_headers(nidus_base PRIVATE
        <algorithm> <array> <cmath> <cstdint> <cstring> <filesystem> <functional> <limits> <map> <memory> <optional>
        <span> <string> <string_view> <utility> <variant> <vector> <fmt/format.h>)
    endif()
  endforeach()

  if(NIDUS_TESTS)
    add_test(NAME ${name}.layers
      COMMAND ${CMAKE_COMMAND} -DMODULE=${name} "-DUSES=${M_USES}" -DFOLDER=${CMAKE_CURRENT_SOURCE_DIR}
              -P ${nidus_root}/cmake/check_layers.cmake)
    if(M_TESTS)
      set_source_files_properties(${M_TESTS} PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O1>")
      add_executable(${name}_test ${M_TESTS})
      target_link_libraries(${name}_test PRIVATE nidus::${name} nidus_flags GTest::gmock GTest::gtest_main)
      target_compile_definitions(${name}_test PRIVATE NIDUS_SOURCE_DIR="${nidus_root}")
      include(GoogleTest)
      gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 DISCOVERY_MODE PRE_TEST)
    endif()
  endif()

  if(NIDUS_BENCH AND M_BENCHES)
    add_executable(${name}_bench ${M_BENCHES})
    target_link_libraries(${name}_bench PRIVATE nidus::${name} nidus_flags benchmark::benchmark_main)
  endif()

  foreach(source ${M_FUZZES})
    get_filename_component(target ${source} NAME_WE)
    set(corpus ${nidus_root}/tests/corpus/${target})
    if(NIDUS_FUZZ)
      add_executable(${target} ${source})
      target_link_libraries(${target} PRIVATE nidus::${name} nidus_flags)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    endif()
    if(NIDUS_TESTS)
      add_executable(${target}_replay ${source} ${nidus_root}/tests/replay_main.cc)
      target_link_libraries(${target}_replay PRIVATE nidus::${name} nidus_flags)
      add_test(NAME ${name}.${target}_corpus COMMAND ${target}_replay ${corpus})
    endif()
  endforeach()
endfunction()

# nidus_program(NAME MODULE): the program NAME, from main.cc of MODULE's folder. All lie in one folder, build/PRESET/src/cmd,
# since one starts the others.
function(nidus_program name module)
  add_executable(${name} main.cc)
  target_link_libraries(${name} PRIVATE nidus::${module} nidus_flags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/src/cmd)
endfunction()
