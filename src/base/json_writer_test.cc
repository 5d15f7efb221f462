#include "base/json_writer.h"

#include <gtest/gtest.h>

#include <limits>

namespace nidus {
namespace {

TEST(JsonWriter, NestsAndSeparates) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("n", 3);
  json.field("big", std::numeric_limits<std::uint64_t>::max());
  json.key("list");
  json.begin_array();
  json.value(1.5);
  json.value(true);
  json.begin_object();
  json.end_object();
  json.null();
  json.end_array();
  json.field("nan", std::numeric_limits<double>::quiet_NaN());
  json.field("text", "a\"b");
  json.key("made");
  json.raw(R"({"x":[1]})");
  json.field("last", true);
  json.end_object();
  EXPECT_EQ(out, R"({"n":3,"big":18446744073709551615,"list":[1.5,true,{},null],"nan":null,"text":"a\"b",)"
                 R"("made":{"x":[1]},"last":true})");
}

TEST(JsonWriter, TextIsAlwaysValidUtf8) {
  std::string out;
  append_json_string(out, "caf\xc3\xa9 \xff\xc3 \xed\xa0\x80\x01\x7f\n");
  EXPECT_EQ(out, "\"caf\xc3\xa9 \\ufffd\\ufffd \\ufffd\\ufffd\\ufffd\\u0001\\u007f\\n\"");
}

}  // namespace
}  // namespace nidus
