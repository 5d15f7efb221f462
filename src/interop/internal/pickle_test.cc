#include "interop/internal/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "interop/testing.h"

namespace nidus::interop::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Values are views of the bytes, so these stay until the test program ends.
Result<Pickle> read(std::string_view text) {
  static std::deque<std::string> kept;
  return Pickle::read(as_bytes(kept.emplace_back(text)));
}

// The message of what is refused; empty if it is read.
std::string refusal(std::string_view text, const PickleOptions& options = {}) {
  const auto pickle = Pickle::read(as_bytes(text), options);
  return pickle ? "" : pickle.error().message;
}

// A string that may hold zeros.
template <std::size_t N>
std::string raw(const char (&text)[N]) {
  return std::string(text, N - 1);
}

std::string unicode(std::string_view text) {
  return raw("\x8c") + static_cast<char>(text.size()) + std::string(text);
}

std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}

// numpy.dtype(code) as it is pickled, without its state.
std::string dtype(std::string_view code) {
  return global("numpy", "dtype") + unicode(code) + raw("\x89\x88\x87R");
}

std::string number(std::int64_t value) {
  std::string out = raw("\x8a\x08");
  for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
  return out;
}

// An array by protocol 5's _frombuffer, of the shape on top.
std::string array(std::string_view bytes, const std::string& type, const std::string& shape) {
  return global("numpy.core.numeric", "_frombuffer") + "(C" + static_cast<char>(bytes.size()) +
         std::string(bytes) + type + shape + unicode("C") + "tR";
}

void expect_numbers(const PickleValue& value, std::vector<std::size_t> shape, std::vector<double> wanted) {
  const auto array = value.array();
  ASSERT_TRUE(array) << value.describe();
  EXPECT_EQ(std::vector(array->shape().begin(), array->shape().end()), shape);
  const auto numbers = array->numbers();
  ASSERT_TRUE(numbers);
  EXPECT_EQ(numbers->reals(), wanted);
}

// All that tests/interop/make_pickles.py puts in, whoever wrote it and how.
void expect_values(const PickleValue& root) {
  ASSERT_EQ(root.type(), PickleType::dict);
  EXPECT_TRUE(root.find("none").is_none());
  EXPECT_EQ(root.find("true").boolean(), true);
  EXPECT_EQ(root.find("false").boolean(), false);
  EXPECT_EQ(root.find("small").integer(), 7);
  EXPECT_EQ(root.find("negative").integer(), -3);
  EXPECT_EQ(root.find("large").integer(), 70000);
  EXPECT_EQ(root.find("long").integer(), std::int64_t{1} << 40);
  EXPECT_EQ(root.find("longer").integer(), -(std::int64_t{1} << 62));
  EXPECT_EQ(root.find("huge").type(), PickleType::big_integer);
  EXPECT_EQ(root.find("real").number(), 0.1);
  EXPECT_EQ(root.find("text").text(), "flow é€😀");
  EXPECT_EQ(root.find("quoted").text(), "it's \"so\"\n");
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const auto bytes = root.find("bytes").bytes();
  ASSERT_TRUE(bytes);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()), all);
  EXPECT_EQ(root.find("empty bytes").bytes()->size(), 0u);
  EXPECT_EQ(root.find("bytearray").bytes()->size(), 2u);
  EXPECT_EQ(root.find("bytearray").bytes()->back(), std::byte{255});
  const PickleValue tuple = root.find("tuple");
  EXPECT_EQ(tuple.size(), 4u);
  EXPECT_EQ(tuple[1][0].integer(), 2);
  EXPECT_EQ(tuple[1][1].type(), PickleType::tuple);
  EXPECT_EQ(tuple[2].text(), "x");
  EXPECT_FALSE(tuple[4]);
  EXPECT_EQ(root.find("list")[1][1].size(), 0u);
  const PickleValue dict = root.find("dict");
  EXPECT_EQ(dict.find("b").find("c").integer(), 2);
  EXPECT_EQ(dict.key(2).integer(), 3);
  EXPECT_EQ(dict[2].text(), "three");
  EXPECT_EQ(root.find("set").size() + root.find("frozenset").size(), 2u);
  EXPECT_EQ(root.find("frozenset")[0].integer(), 6);
  const PickleValue ordered = root.find("ordered");
  EXPECT_EQ(ordered.name(), "collections.OrderedDict");
  EXPECT_EQ(ordered.key(0).text(), "z");
  EXPECT_EQ(ordered.find("a").integer(), 2);

  expect_numbers(root.find("doubles"), {2, 3}, {1.5, -2, INFINITY, 4, 5, 1e-300});
  EXPECT_NE(root.find("doubles").array()->numbers()->doubles(), nullptr);
  expect_numbers(root.find("columns"), {2, 3}, {1, 2, 3, 4, 5, 6});
  expect_numbers(root.find("floats"), {2}, {0.1f, 3});
  expect_numbers(root.find("halves"), {3}, {0.5, -65504, 0x1p-24});
  expect_numbers(root.find("shorts"), {2}, {-1, 300});
  expect_numbers(root.find("bytes8"), {2}, {255, 1});
  expect_numbers(root.find("flags"), {2}, {1, 0});
  expect_numbers(root.find("big end"), {2}, {1.25, -7});
  EXPECT_EQ(root.find("big end").array()->numbers()->doubles(), nullptr);
  expect_numbers(root.find("big end integers"), {2}, {1, -2});
  EXPECT_EQ(root.find("big end integers").array()->numbers()->integer(1), -2);
  expect_numbers(root.find("nothing"), {0, 3}, {});
  EXPECT_EQ(root.find("point").number(), 2.5);
  EXPECT_EQ(root.find("texts").array()->text(1), "Dämon");
  EXPECT_EQ(root.find("labels").array()->text(1), "bcd");
  EXPECT_EQ(root.find("strings").array()->text(0), "ab");
  const auto mixed = root.find("mixed").array();
  EXPECT_THAT(std::vector(mixed->shape().begin(), mixed->shape().end()), ElementsAre(2, 2));
  EXPECT_TRUE(mixed->item(0).is_none());
  EXPECT_EQ(mixed->item(2).text(), "x");
  EXPECT_EQ(mixed->item(3).number(), 2.5);
  const auto nodes = root.find("nodes").array();
  EXPECT_EQ(nodes->field("left")->integer(1), -1);
  EXPECT_THAT(nodes->field("threshold")->reals(), ElementsAre(0.5, -2));
  EXPECT_THAT(nodes->field("flag")->reals(), ElementsAre(1, 0));
  EXPECT_FALSE(nodes->field("right"));

  EXPECT_EQ(root.find("float64").number(), 0.25);
  EXPECT_EQ(root.find("float32").number(), 0.5);
  EXPECT_EQ(root.find("float16").number(), 1.5);
  EXPECT_EQ(root.find("int64").integer(), -9);
  EXPECT_EQ(root.find("bool_").boolean(), true);
  EXPECT_EQ(root.find("str_").text(), "attack");
  EXPECT_EQ(root.find("dtype").type(), PickleType::dtype);
  EXPECT_EQ(root.find("type").name(), "numpy.float64");
  expect_numbers(root.find("again"), {2, 3}, {1.5, -2, INFINITY, 4, 5, 1e-300});
  EXPECT_EQ(root.find("itself")[0], root.find("itself"));
}

class PickleFiles : public ::testing::TestWithParam<std::string> {};

TEST_P(PickleFiles, HoldTheirValues) {
  const auto text = read_file(fixture("pickle") / (GetParam() + ".pkl"));
  ASSERT_TRUE(text) << text.error().message;
  const auto pickle = read(*text);
  ASSERT_TRUE(pickle) << pickle.error().message;
  expect_values(pickle->root());
  EXPECT_EQ(pickle->end(), text->size());
}

TEST_P(PickleFiles, CutOffAreRefused) {
  const auto text = read_file(fixture("pickle") / (GetParam() + ".pkl"));
  ASSERT_TRUE(text);
  for (std::size_t size = 0; size < text->size(); ++size) {
    const auto part = std::string(text->substr(0, size));  // memory of its own, for the sanitizer
    const auto pickle = Pickle::read(as_bytes(part));
    ASSERT_FALSE(pickle) << size;
    EXPECT_THAT(pickle.error().message, HasSubstr("byte "));
  }
}

TEST_P(PickleFiles, WithAByteChangedAreReadOrRefused) {
  auto text = read_file(fixture("pickle") / (GetParam() + ".pkl"));
  ASSERT_TRUE(text);
  for (std::size_t i = 0; i < text->size(); ++i) {
    const char flip = i % 3 == 0 ? '\x01' : i % 3 == 1 ? '\x80' : '\xff';
    (*text)[i] ^= flip;
    const auto pickle = Pickle::read(as_bytes(*text));
    EXPECT_TRUE(!pickle || pickle->root());
    (*text)[i] ^= flip;
  }
}

INSTANTIATE_TEST_SUITE_P(Writers, PickleFiles,
                         ::testing::Values("old-protocol0", "old-protocol1", "old-protocol2", "old-protocol3",
                                           "old-protocol4", "old-protocol5", "old-joblib",
                                           "old-joblib-protocol2", "new-protocol0", "new-protocol1",
                                           "new-protocol2", "new-protocol3", "new-protocol4", "new-protocol5",
                                           "new-joblib", "new-joblib-protocol2"),
                         [](const auto& one) {
                           std::string name = one.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(Pickle, SaysWhereThingsLie) {
  const auto pickle = read(raw("\x80\x04") + "]" + global("some.module", "Thing") + ")R" + "}" +
                           unicode("a") + "K\x05" + "sba.");
  ASSERT_TRUE(pickle) << pickle.error().message;
  const PickleValue thing = pickle->root()[0];
  EXPECT_EQ(thing.type(), PickleType::object);
  EXPECT_EQ(thing.name(), "some.module.Thing");
  EXPECT_EQ(thing.find("a").integer(), 5);
  EXPECT_EQ(thing.offset(), 23u);
  EXPECT_EQ(thing.find("a").where(), "byte 28");
  ASSERT_EQ(pickle->names().size(), 1u);
  EXPECT_EQ(pickle->names()[0].second, 3u);
}

TEST(Pickle, MembersMayBeInSlots) {
  const auto pickle = read(global("a", "B") + ")R}" + unicode("x") + "K\x01s}" + unicode("y") + "K\x02s" +
                           raw("\x86") + "b.");
  ASSERT_TRUE(pickle) << pickle.error().message;
  EXPECT_EQ(pickle->root().find("x").integer(), 1);
  EXPECT_EQ(pickle->root().find("y").integer(), 2);
  EXPECT_FALSE(pickle->root().find("z"));
}

TEST(Pickle, ReferencesOutsideOnlyForWhoAsked) {
  const std::string text = unicode("storage") + raw("\x85Q.");
  EXPECT_THAT(refusal(text), HasSubstr("outside of the file"));
  PickleOptions options;
  options.persistent = true;
  const auto pickle = Pickle::read(as_bytes(text), options);
  ASSERT_TRUE(pickle);
  EXPECT_EQ(pickle->root().type(), PickleType::persistent);
  EXPECT_EQ(pickle->root().args()[0].text(), "storage");
}

TEST(Pickle, BeginsWhereItIsToldAndEndsAtStop) {
  const std::string text = "xx" + raw("\x80\x02K\x07.rest");
  PickleOptions options;
  options.begin = 2;
  const auto pickle = Pickle::read(as_bytes(text), options);
  ASSERT_TRUE(pickle);
  EXPECT_EQ(pickle->end(), 7u);
  EXPECT_EQ(pickle->protocol(), 2);
  EXPECT_EQ(pickle->root().offset(), 4u);
}

// --- what hides from scanners

bool accepts_numpy(std::string_view name) {
  return name == "numpy.dtype" || name == "numpy.core.multiarray._reconstruct" || name == "numpy.ndarray";
}

TEST(PickleHostile, NothingThatIsCalledRuns) {
  const auto pickle = read(global("posix", "system") + "(" + unicode("touch /tmp/nidus-was-here") + "tR.");
  ASSERT_TRUE(pickle);
  EXPECT_EQ(pickle->root().type(), PickleType::object);
  EXPECT_EQ(pickle->root().name(), "posix.system");
  EXPECT_FALSE(std::filesystem::exists("/tmp/nidus-was-here"));
}

TEST(PickleHostile, NamesThatAreNotAcceptedAreRefusedWithTheirByte) {
  PickleOptions options;
  options.accepts = accepts_numpy;
  const std::string call = "(" + unicode("id") + "tR.";
  const auto refused = [&](const std::string& text) { return refusal(text, options); };
  EXPECT_EQ(refused("]" + global("posix", "system") + call), "byte 1: posix.system is no part of a model");
  EXPECT_EQ(refused(global("os", "system") + call), "byte 0: os.system is no part of a model");
  // By names that a list of bad ones forgot.
  EXPECT_THAT(refused(global("pkgutil", "resolve_name") + call), HasSubstr("pkgutil.resolve_name"));
  EXPECT_THAT(refused(global("numpy.testing._private.utils", "runstring") + call), HasSubstr("runstring"));
  EXPECT_THAT(refused(global("torch.utils.bottleneck.__main__", "run_autograd_prof") + call),
              HasSubstr("run_autograd_prof"));
  EXPECT_THAT(refused(global("builtins", "getattr") + call), HasSubstr("builtins.getattr"));
  // By the stack, with parts from the memo.
  EXPECT_THAT(refused(unicode("posix") + raw("\x94") + "0" + unicode("system") + raw("\x94") + "0h" +
                      raw("\0") + "h\x01" + raw("\x93") + call),
              HasSubstr("posix.system"));
  EXPECT_THAT(refused(unicode("numpy") + unicode("__builtins__") + raw("\x93.")), HasSubstr("__builtins__"));
  // Thrown away after use, or fetched and never used.
  EXPECT_THAT(refused(global("posix", "system") + "(" + unicode("id") + "tR0N."), HasSubstr("posix.system"));
  EXPECT_THAT(refused(global("posix", "system") + "0N."), HasSubstr("posix.system"));
  // Under the value that counts.
  EXPECT_THAT(refused(global("posix", "system") + "N."), HasSubstr("posix.system"));
  // By the opcodes of Python 2.
  EXPECT_THAT(refused("(" + unicode("id") + "iposix\nsystem\n."), HasSubstr("INST"));
  EXPECT_THAT(refused("(" + raw("N") + "o."), HasSubstr("OBJ"));
  EXPECT_THAT(refused(raw("\x82\x01.")), HasSubstr("extension registry"));
}

TEST(PickleHostile, NamesWithDotsOrOddLettersAreRefused) {
  EXPECT_THAT(refusal(unicode("os") + unicode("path.join") + raw("\x93.")), HasSubstr("os.path.join"));
  EXPECT_THAT(refusal(unicode("os") + unicode("sys\x1b[2Jtem") + raw("\x93.")), HasSubstr("os.sys?[2Jtem"));
  EXPECT_THAT(refusal("c\n\n."), HasSubstr("no name"));
  EXPECT_THAT(refusal("cos\n" + std::string(1000, 'a') + "\n."), HasSubstr("no name"));
  EXPECT_THAT(refusal("K\x01" + unicode("a") + raw("\x93.")),
              HasSubstr("a name that is made of the number 1"));
}

TEST(PickleHostile, OnlyNamesAreCalled) {
  EXPECT_THAT(refusal(unicode("print") + ")R."), HasSubstr("the text 'print' is called"));
  EXPECT_THAT(refusal(global("functools", "partial") + ")R)R."), HasSubstr("functools.partial is called"));
  EXPECT_THAT(refusal(global("a", "b") + "NR."), HasSubstr("a call with None"));
}

TEST(PickleHostile, ObjectsOfJoblibHaveTheSameListOfNames) {
  // joblib writes arrays of objects as a pickle in the pickle, behind the state of its wrapper.
  const auto wrapped = [](const std::string& inner) {
    return global("joblib.numpy_pickle", "NumpyArrayWrapper") + raw(")\x81}(") + unicode("subclass") +
           global("numpy", "ndarray") + unicode("shape") + "K\x01" + raw("\x85") + unicode("order") +
           unicode("C") + unicode("dtype") + dtype("O8") + unicode("allow_mmap") + raw("\x89ub") + inner +
           ".";
  };
  PickleOptions options;
  options.accepts = [](std::string_view name) {
    return accepts_numpy(name) || name == "joblib.numpy_pickle.NumpyArrayWrapper";
  };
  EXPECT_THAT(refusal(wrapped(global("posix", "system") + "(" + unicode("id") + "tR."), options),
              HasSubstr("posix.system is no part of a model"));
  EXPECT_THAT(refusal(wrapped("N."), options), HasSubstr("instead of an array of objects None"));
  std::string deep = "N.";
  for (int i = 0; i < 8; ++i) deep = wrapped(deep);
  EXPECT_THAT(refusal(deep, options), HasSubstr("pickles in pickles"));
}

// --- what lies about sizes, or would eat memory or time

TEST(PickleHostile, ShapesThatLie) {
  const std::string f8 = dtype("f8"), four = raw("\x86");
  const auto refused = [&](const std::string& shape) {
    return refusal(array(std::string(32, 'x'), f8, shape) + ".");
  };
  EXPECT_EQ(refused(number(2) + number(2) + four), "");
  EXPECT_THAT(refused(number(5) + number(1) + four), HasSubstr("an array of 40 bytes with 32"));
  EXPECT_THAT(refused(number(-2) + number(-2) + four), HasSubstr("extent"));
  EXPECT_THAT(refused(number(std::int64_t{1} << 62) + number(4) + four), HasSubstr("more elements"));
  EXPECT_THAT(refused(number(std::int64_t{1} << 61) + raw("\x85")), HasSubstr("more elements"));
  EXPECT_THAT(refused(number(std::int64_t{1} << 32) + number(std::int64_t{1} << 32) + four),
              HasSubstr("more elements"));
  EXPECT_THAT(refused(unicode("wide")), HasSubstr("shape"));
  std::string many = "(";
  for (int i = 0; i < 33; ++i) many += "K\x01";
  EXPECT_THAT(refused(many + "t"), HasSubstr("33 dimensions"));
}

TEST(PickleHostile, FieldsOutsideOfTheirRecord) {
  const auto record = [](std::int64_t offset, std::int64_t size) {
    return dtype("V16") + "(K\x03" + unicode("|") + "N" + unicode("a") + raw("\x85}") + unicode("a") +
           dtype("f8") + number(offset) + raw("\x86") + "s" + number(size) + "K\x01K\x10tb.";
  };
  EXPECT_EQ(refusal(record(8, 16)), "");
  EXPECT_THAT(refusal(record(9, 16)), HasSubstr("outside of its record"));
  EXPECT_THAT(refusal(record(-8, 16)), HasSubstr("outside of its record"));
  EXPECT_THAT(refusal(record(std::int64_t{1} << 40, 16)), HasSubstr("outside of its record"));
  EXPECT_THAT(refusal(record(0, 4)), HasSubstr("outside of its record"));
}

// The array keeps the dtype that its size was checked with.
TEST(PickleHostile, ADtypeChangedAfterwardsChangesNoArray) {
  const auto whole = read(
      dtype("V8") + raw("\x94") + array("12345678", "h" + raw("\0"), number(1) + raw("\x85")) + raw("\x86") +
      "h" + raw("\0") + "(K\x03" + unicode("|") + "NNN" + number(4096) + raw("K\x01K\x00tb\x86."));
  ASSERT_TRUE(whole) << whole.error().message;
  const auto kept = whole->root()[0][1].array();
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->dtype().bytes, 8u);
  EXPECT_EQ(kept->raw().size(), 8u);
}

TEST(PickleHostile, AListOfObjectsChangedAfterwardsChangesNoArray) {
  const auto pickle =
      read(global("numpy.core.multiarray", "_reconstruct") + "(" + global("numpy", "ndarray") +
           raw("K\x00\x85") + "C\x01" + "btR(K\x01" + raw("K\x01\x85") + dtype("O8") + raw("\x89]\x94") +
           "Natb" + "h" + raw("\0") + "(NNNe" + raw("\x86") + ".");
  ASSERT_TRUE(pickle) << pickle.error().message;
  EXPECT_EQ(pickle->root()[0].array()->size(), 1u);
  EXPECT_TRUE(pickle->root()[0].array()->item(0).is_none());
  EXPECT_FALSE(pickle->root()[0].array()->item(1));
  EXPECT_EQ(pickle->root()[1].size(), 4u);
}

TEST(PickleHostile, NothingIsBuiltTwice) {
  EXPECT_THAT(refusal(global("a", "B") + ")R}b}b."), HasSubstr("set twice"));
  EXPECT_THAT(refusal("]}b."), HasSubstr("a state is set in a list of 0"));
}

TEST(PickleHostile, LengthsThatLie) {
  EXPECT_THAT(refusal(raw("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"
                          "abc")),
              HasSubstr("9,223,372,036,854,775,807 bytes are announced and 3 are left"));
  EXPECT_THAT(refusal(raw("\x8e\xff\xff\xff\xff\xff\xff\xff\xff"
                          "abc")),
              HasSubstr("announced"));
  EXPECT_THAT(refusal(raw("B\xff\xff\xff\xff")), HasSubstr("announced"));
  EXPECT_THAT(refusal(raw("\x95\xff\xff\xff\xff\xff\xff\xff\xff")), HasSubstr("ends in the middle"));
}

TEST(PickleHostile, TheMemoIsBounded) {
  EXPECT_THAT(refusal(raw("Nr\xff\xff\xff\xff.")), HasSubstr("memo entry 4,294,967,295"));
  EXPECT_THAT(refusal(raw("Nr\x00\x00\x10\x00.")), HasSubstr("memo entry 1,048,576"));
  EXPECT_THAT(refusal(raw("j\xff\xff\xff\xff.")), HasSubstr("never put"));
  EXPECT_THAT(refusal(raw("Nq\x05h\x04.")), HasSubstr("memo entry 4 is fetched and was never put"));
  EXPECT_THAT(refusal("Np-1\n."), HasSubstr("no number"));
}

TEST(PickleHostile, AMillionListsInListsAreReadAndThrownAway) {
  const std::string deep = std::string(1000000, ']') + std::string(999999, 'a') + ".";
  const auto pickle = read(deep);
  ASSERT_TRUE(pickle) << pickle.error().message;
  EXPECT_EQ(pickle->root()[0][0][0].size(), 1u);
}

TEST(PickleHostile, ABillionLaughsStaySmall) {
  // Each list holds ten references to the list before: 10^100 leaves, a thousand references.
  std::string text = "(]" + raw("\x94");
  for (int i = 0; i < 100; ++i) {
    text += "](";
    for (int k = 0; k < 10; ++k) text += raw("h") + static_cast<char>(i);
    text += "e" + raw("\x94");
  }
  const auto pickle = read(text + "t.");
  ASSERT_TRUE(pickle) << pickle.error().message;
  EXPECT_EQ(pickle->root().size(), 101u);
  EXPECT_EQ(pickle->root()[100][9], pickle->root()[99]);
}

TEST(PickleHostile, TheSameWorkAgainAndAgainEnds) {
  // One long text, turned into bytes ten thousand times.
  std::string text = global("_codecs", "encode") + raw("\x94") + "0X" + raw("\x00\x00\x10\x00") +
                     std::string(1 << 20, 'a') + raw("\x94") + unicode("latin1") + raw("\x86\x94") + "0";
  std::string many = "]";
  for (int i = 0; i < 10000; ++i) many += raw("h\0h\x02Ra");
  EXPECT_THAT(refusal(text + many + "."), HasSubstr("again and again"));
}

TEST(PickleHostile, ValuesMarksAndStacksHaveLimits) {
  PickleOptions options;
  options.values_max = 1000;
  EXPECT_THAT(refusal(std::string(2000, ']') + ".", options), HasSubstr("more than 1,000 values"));
  EXPECT_THAT(refusal(std::string(20000, 'N') + ".", options), HasSubstr("a stack too high"));
  EXPECT_THAT(refusal(std::string(20000, '(') + "."), HasSubstr("marks too deep"));
}

TEST(PickleHostile, StacksThatDoNotFit) {
  EXPECT_THAT(refusal("."), HasSubstr("wants more values"));
  EXPECT_THAT(refusal("t."), HasSubstr("wants a mark"));
  EXPECT_THAT(refusal("N(a."), HasSubstr("wants more values"));
  EXPECT_THAT(refusal("NN."), HasSubstr("left over"));
  EXPECT_THAT(refusal("(N."), HasSubstr("left over"));
  EXPECT_THAT(refusal("]NNs."), HasSubstr("keys are set in a list"));
  EXPECT_THAT(refusal("}(Nu."), HasSubstr("a key without a value"));
  EXPECT_THAT(refusal("NNa."), HasSubstr("items are added to None"));
  EXPECT_THAT(refusal(")NNs."), HasSubstr("keys are set in a tuple of 0"));
  EXPECT_THAT(refusal("\x7f"), HasSubstr("the byte 127 is no opcode of a pickle"));
  EXPECT_THAT(refusal(raw("\x80\x06.")), HasSubstr("pickle protocol 6"));
}

TEST(PickleHostile, BuffersAndRegistriesOutsideAreRefused) {
  EXPECT_THAT(refusal(raw("\x97.")), HasSubstr("outside of the file"));
  EXPECT_THAT(refusal("P12\n."), HasSubstr("outside of the file"));
  EXPECT_THAT(refusal(raw("\x84\x01\x00\x00\x00.")), HasSubstr("extension registry"));
}

}  // namespace
}  // namespace nidus::interop::internal
