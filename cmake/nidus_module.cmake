# nidus_module(NAME SOURCES … COLD … USES … LIBRARIES … TESTS … BENCHES … FUZZES …)
#
# Declares the library nidus::NAME from the sources of this folder. COLD sources, and tests, are optimised less in
# a release, which halves the time that the largest of them take to compile: a person waits for the first ./run.
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
  cmake_parse_arguments(M "" "" "SOURCES;COLD;USES;LIBRARIES;TESTS;BENCHES;FUZZES" ${ARGN})
  add_library(nidus_${name} STATIC ${M_SOURCES} ${M_COLD})
  set_source_files_properties(${M_COLD} ${M_TESTS} PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O1>")
  add_library(nidus::${name} ALIAS nidus_${name})
  target_include_directories(nidus_${name} PUBLIC ${nidus_root}/src)
  set(used "")
  foreach(module ${M_USES})
    list(APPEND used nidus::${module})
  endforeach()
  target_link_libraries(nidus_${name} PUBLIC ${used} ${M_LIBRARIES} PRIVATE nidus_flags)
  # A person waits for the first ./run, and half of it went into reading these again for each source. A compiler
  # cache does better without.
  if(NOT CCACHE)
    target_precompile_headers(nidus_${name} PRIVATE
      <algorithm> <array> <cmath> <cstdint> <cstring> <filesystem> <functional> <limits> <map> <memory> <optional>
      <span> <string> <string_view> <utility> <variant> <vector> <fmt/format.h>)
  endif()

  if(NIDUS_TESTS)
    add_test(NAME ${name}.layers
      COMMAND ${CMAKE_COMMAND} -DMODULE=${name} "-DUSES=${M_USES}" -DFOLDER=${CMAKE_CURRENT_SOURCE_DIR}
              -P ${nidus_root}/cmake/check_layers.cmake)
    if(M_TESTS)
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
