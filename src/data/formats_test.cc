#include <gmock/gmock.h>

#include <string>

#include "data/table_reader.h"

// The formats beside CSV: Zeek's logs, JSON lines, Suricata's EVE, and how they are told apart.
namespace nidus::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsNan;

std::vector<std::string> names(const Table& table) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < table.columns(); ++i) out.push_back(table.column(i).name);
  return out;
}

struct Parsed {
  Table table;
  TableReport report;
};

Parsed parsed(std::string_view bytes, const TableOptions& options = {}) {
  Parsed out;
  auto table = parse_table(bytes, "test", options, &out.report);
  EXPECT_TRUE(table) << table.error().message;
  if (table) out.table = std::move(*table);
  return out;
}

std::string refusal(std::string_view bytes, const TableOptions& options = {}) {
  auto table = parse_table(bytes, "test", options);
  EXPECT_FALSE(table);
  return table ? "" : table.error().message;
}

const std::string kZeek =
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#open\t2022-06-17-00-00-07\n#fields\tts\tid.orig_h\tservice\tduration\torig_bytes\tlocal_orig\n"
    "#types\ttime\taddr\tstring\tinterval\tcount\tbool\n";

TEST(Formats, ZeekLogsSayWhatIsTextAndWhatIsNothing) {
  const auto [table, report] = parsed(kZeek +
                                      "1.5\t10.0.0.1\t-\t-\t7\tT\n"
                                      "2.5\t10.0.0.2\ta\\x09b\t0.25\t-\tF\n"
                                      "#close\t2022-06-18\n");
  EXPECT_EQ(report.dialect, "Zeek log");
  EXPECT_THAT(names(table),
              ElementsAre("ts", "id.orig_h", "service", "duration", "orig_bytes", "local_orig"));
  EXPECT_THAT(table.column(0).numbers, ElementsAre(1.5, 2.5));
  EXPECT_TRUE(table.column(2).missing(0));
  EXPECT_EQ(table.column(2).text_at(1), "a\tb");
  EXPECT_THAT(table.column(3).numbers, ElementsAre(IsNan(), 0.25));
  EXPECT_THAT(table.column(4).numbers, ElementsAre(7, IsNan()));
  EXPECT_EQ(table.column(5).text_at(0), "T");
}

TEST(Formats, AZeekTextColumnStaysTextWhenItHoldsOnlyDigits) {
  const auto [table, report] = parsed(kZeek + "1\t10.0.0.1\t007\t1\t1\tT\n");
  EXPECT_EQ(table.column(2).text_at(0), "007");
}

TEST(Formats, ZeekLogsMayFollowEachOtherIfTheyHaveTheSameFields) {
  const std::string row = "1\t10.0.0.1\t-\t1\t1\tT\n";
  EXPECT_EQ(parsed(kZeek + row + kZeek + row).table.rows(), 2u);
  EXPECT_THAT(refusal(kZeek + row + "#fields\tts\tuid\n" + row),
              HasSubstr("test:10: other fields than at the beginning"));
}

TEST(Formats, ZeekRowsOfTheWrongLengthAreNamedByLine) {
  const auto [table, report] = parsed(kZeek + "1\t10.0.0.1\n1\t10.0.0.1\t-\t1\t1\tT\n");
  EXPECT_EQ(table.rows(), 1u);
  EXPECT_EQ(report.first_bad_row(), "test:9: 2 cells, expected 6");
}

// As IoT-23 is published: three fields in the last cell.
TEST(Formats, TheJoinedLabelsOfIot23AreParted) {
  const auto [table, report] = parsed(
      "#separator \\x09\n#unset_field\t-\n#fields\tts\tuid\ttunnel_parents   label   detailed-label\n"
      "#types\ttime\tstring\tset[string]   string   string\n"
      "1\tC1\t-   Malicious   C&C-Torii\n2\tC2\t(empty)   Benign   -\n3\tC3\tx\n");
  EXPECT_THAT(names(table), ElementsAre("ts", "uid", "tunnel_parents", "label", "detailed-label"));
  ASSERT_EQ(table.rows(), 2u);
  EXPECT_EQ(table.column(3).text_at(0), "Malicious");
  EXPECT_EQ(table.column(4).text_at(0), "C&C-Torii");
  EXPECT_TRUE(table.column(4).missing(1));
  EXPECT_EQ(report.first_bad_row(), "test:7: 3 cells, expected 5");
}

TEST(Formats, ZeekLogsWithoutFieldsAreRefused) {
  EXPECT_THAT(refusal("#separator \\x09\n1\t2\n"), HasSubstr("without a line #fields"));
}

TEST(Formats, TheSeparatorIsTheOneTheHeaderHasMostOf) {
  EXPECT_EQ(parsed("a\tb,c\td\n1\t2\t3\n").report.dialect, "TSV");
  EXPECT_EQ(parsed("a;b;c,d\n1;2;3\n").table.columns(), 3u);
  EXPECT_EQ(parsed("a|b\n1|2\n").table.columns(), 2u);
  EXPECT_EQ(parsed("\"a;b;c\",d\n1,2\n").table.columns(), 2u);
}

TEST(Formats, JsonObjectsBecomeRowsAndNestedKeysColumns) {
  const auto [table, report] = parsed(
      "{\"a\": 1, \"b\": {\"c\": \"x\", \"d\": {\"e\": 2.5}}, \"f\": true}\n"
      "\n"
      "{\"b\":{\"c\":\"y\\u00e9\\n\",\"d\":{}},\"f\":false,\"g\":[1,\"z\"],\"a\":null}\r\n");
  EXPECT_EQ(report.dialect, "JSON lines");
  EXPECT_THAT(names(table), ElementsAre("a", "b.c", "b.d.e", "f", "g"));
  EXPECT_THAT(table.column(0).numbers, ElementsAre(1, IsNan()));
  EXPECT_EQ(table.column(1).text_at(1), "y\xc3\xa9\n");
  EXPECT_THAT(table.column(2).numbers, ElementsAre(2.5, IsNan()));
  EXPECT_THAT(table.column(3).numbers, ElementsAre(1, 0));
  EXPECT_TRUE(table.column(4).missing(0));
  EXPECT_EQ(table.column(4).text_at(1), "[1,\"z\"]");
}

TEST(Formats, TextAmongJsonNumbersMakesTheColumnText) {
  const auto [table, report] = parsed("{\"a\":1.50}\n{\"a\":\"x\"}\n{\"a\":3}\n{\"b\":NaN}\n");
  EXPECT_THAT(table.column(0).vocabulary, ElementsAre("1.50", "x", "3"));
  EXPECT_EQ(table.column(1).kind, Kind::numeric);
}

TEST(Formats, JsonSeenInPiecesIsTheSameTable) {
  std::string text;
  for (int i = 0; i < 9000; ++i) {
    const std::string n = std::to_string(i);
    text += "{\"id\":" + n + ",\"t\":" + (i < 6000 ? n : "\"t" + n + "\"") +
            (i > 5000 ? ",\"late\":\"" + std::to_string(i % 3) + "\"" : "") +
            (i > 8000 ? ",\"later\":\"" + n + "\"" : "") + "}\n";
  }
  const Table expected = parsed(text).table;
  EXPECT_THAT(names(expected), ElementsAre("id", "t", "late", "later"));
  EXPECT_EQ(expected.column(1).kind, Kind::text);
  for (const std::size_t threads : {1, 4}) {
    TableOptions options;
    options.threads = threads;
    options.piece_bytes = 3000;
    EXPECT_EQ(parsed(text, options).table, expected);
  }
}

TEST(Formats, LinesThatAreNotJsonAreNamedAndLeaveNothingBehind) {
  const auto [table, report] = parsed(
      "{\"a\":1}\n{\"a\":2,\"b\":}\n{\"a\":3\n[1]\n{\"a\":\"\\x\"}\n{\"a\":4} x\n{\"a\":01x}\n{\"a\":5}\n");
  EXPECT_THAT(names(table), ElementsAre("a"));
  EXPECT_THAT(table.column(0).numbers, ElementsAre(1, 5));
  EXPECT_EQ(report.of(Defect::broken_json).count, 6u);
  EXPECT_EQ(report.first_bad_row(), "test:2: not a JSON object");
}

TEST(Formats, KeysThatStandTwiceAndNestingTooDeep) {
  const auto [table, report] = parsed("{\"a\":1,\"a\":2}\n");
  EXPECT_THAT(table.column(0).numbers, ElementsAre(1));
  EXPECT_EQ(report.of(Defect::repeated_key).count, 1u);
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
  EXPECT_THAT(refusal(deep + "\n"), HasSubstr("no JSON object in it"));
}

TEST(Formats, AJsonArrayIsNoTable) { EXPECT_THAT(refusal("[{\"a\":1}]"), HasSubstr("one JSON array")); }

TEST(Formats, SparseJsonCannotAskForMuchMemory) {
  std::string text;
  for (int i = 0; i < 16000; ++i) text += "{\"k" + std::to_string(i) + "\":1}\n";
  EXPECT_THAT(refusal(text), HasSubstr("nearly all cells are missing"));
}

const std::string kEve =
    "{\"timestamp\":\"2022-06-17T00:00:07.1+0000\",\"flow_id\":1,\"event_type\":\"dns\",\"dns\":{\"id\":4}}\n"
    "{\"timestamp\":\"2022-06-17T00:00:08.1+0000\",\"flow_id\":2,\"event_type\":\"flow\",\"src_ip\":\"10.0.0."
    "1\","
    "\"flow\":{\"pkts_toserver\":3,\"bytes_toserver\":200},\"tcp\":{\"syn\":true}}\n"
    "{\"timestamp\":\"2022-06-17T00:00:09.1+0000\",\"flow_id\":3,\"event_type\":\"stats\"}\n";

TEST(Formats, OfEveTheFlowsAreRead) {
  const auto [table, report] = parsed(kEve);
  EXPECT_EQ(report.dialect, "Suricata EVE");
  ASSERT_EQ(table.rows(), 1u);
  EXPECT_EQ((*table.require("flow.pkts_toserver"))->numbers[0], 3);
  EXPECT_EQ((*table.require("tcp.syn"))->numbers[0], 1);
  EXPECT_FALSE(table.find("dns.id"));
  EXPECT_EQ(report.of(Defect::other_event).count, 2u);
  EXPECT_EQ(report.of(Defect::other_event).first, "dns");
  EXPECT_THAT(refusal(kEve.substr(0, kEve.find('\n') + 1)), HasSubstr("not a flow among 1 events"));
}

TEST(Formats, AStreamOfJsonHasTheColumnsOfItsFirstPiece) {
  std::string text = "{\"a\":1}\n";
  for (int i = 0; i < 9000; ++i) text += "{\"a\":2}\n";
  text += "{\"a\":3,\"b\":4}\n";
  TableOptions options;
  options.piece_bytes = 100;
  auto reader = TableReader::open_memory(text, "test", options);
  ASSERT_TRUE(reader);
  reader->read_as(0, Kind::numeric);
  std::size_t rows = 0;
  for (;;) {
    const auto part = reader->next(500);
    ASSERT_TRUE(part);
    if (part->rows() == 0) break;
    EXPECT_EQ(part->columns(), 1u);
    rows += part->rows();
  }
  EXPECT_EQ(rows, 9002u);
  EXPECT_EQ(reader->report().of(Defect::late_column).count, 1u);
}

TEST(Formats, AStrayQuoteCostsOneRow) {
  std::string text = "a,b\n1,\"2\n";
  for (int i = 0; i < 1000; ++i) text += "3,4\n";
  for (const std::size_t piece_bytes : {100, 1 << 20}) {
    TableOptions options;
    options.piece_bytes = piece_bytes;
    options.line_bytes_max = 300;
    const auto [table, report] = parsed(text, options);
    EXPECT_EQ(table.rows(), 1000u);
    EXPECT_EQ(report.first_bad_row(), "test:2: a quote is opened and never closed");
  }
}

TEST(Formats, AFileWithoutAGoodRowIsAnError) {
  EXPECT_THAT(refusal("a,b\n1\n2\n"), HasSubstr("no row could be read: test:2: 1 cells, expected 2"));
}

}  // namespace
}  // namespace nidus::data
