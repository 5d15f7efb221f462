#include "data/table_reader.h"

#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/file.h"
#include "base/testing.h"

namespace nidus::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsNan;

Table parsed(std::string_view bytes, const TableOptions& options = {}) {
  auto table = parse_table(bytes, "test.csv", options);
  EXPECT_TRUE(table) << table.error().message;
  return table ? *table : Table();
}

std::string refusal(std::string_view bytes, TableOptions options = {}) {
  options.strict = true;
  auto table = parse_table(bytes, "test.csv", options);
  EXPECT_FALSE(table);
  return table ? "" : table.error().message;
}

std::vector<std::string> names(const Table& table) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < table.columns(); ++i) out.push_back(table.column(i).name);
  return out;
}

std::string gzipped(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 1000, '\0');
  std::string in(text);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd_packed(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()) + 100, '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  out.resize(ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
  ZSTD_freeCCtx(context);
  return out;
}

TEST(Csv, ReadsNumbersAndTexts) {
  const Table table = parsed("bytes,service\n10,http\n2.5e3,dns\n,http\n");
  ASSERT_EQ(table.rows(), 3u);
  EXPECT_THAT(table.column(0).numbers, ElementsAre(10, 2500, IsNan()));
  EXPECT_EQ(table.column(1).kind, Kind::text);
  EXPECT_THAT(table.column(1).vocabulary, ElementsAre("http", "dns"));
  EXPECT_THAT(table.column(1).codes, ElementsAre(0, 1, 0));
}

TEST(Csv, FindsTheWayThroughWhatDataSetsDo) {
  const Table table =
      parsed("\xef\xbb\xbf a ,b,a,\"c, d\"\r\n1,\"x\"\"y\",3,4\r\n\r\n5,\"two\nlines\",inf, NaN \r\n");
  EXPECT_THAT(names(table), ElementsAre("a", "b", "a.1", "c, d"));
  EXPECT_THAT(table.column(0).numbers, ElementsAre(1, 5));
  EXPECT_THAT(table.column(1).vocabulary, ElementsAre("x\"y", "two\nlines"));
  EXPECT_THAT(table.column(2).numbers, ElementsAre(3, std::numeric_limits<double>::infinity()));
  EXPECT_THAT(table.column(3).numbers, ElementsAre(4, IsNan()));
}

TEST(Csv, NumbersAreTheNearestDouble) {
  const Table table = parsed(
      "x\n0.1\n123456789012345678\n0.30000000000000004\n-0\n1e400\n-1e-400\n999999999999999\n.5\n5.\n+7\n"
      "0.000000000000001\n1234.5678\n");
  EXPECT_THAT(table.column(0).numbers, ElementsAre(0.1, 123456789012345678.0, 0.30000000000000004, 0,
                                                   std::numeric_limits<double>::infinity(), 0,
                                                   999999999999999.0, 0.5, 5, 7, 1e-15, 1234.5678));
}

TEST(Csv, SignsAndPointsAloneAreText) {
  for (const char* cell : {"-", ".", "-.", "+", "1.2.3", "0x10", "1_000", "--1", "e5"}) {
    EXPECT_EQ(parsed("x,y\n" + std::string(cell) + ",1\n").column(0).kind, Kind::text) << cell;
  }
}

TEST(Csv, AColumnThatTurnsOutToBeTextKeepsTheSpellingOfItsFirstCells) {
  TableReport report;
  const auto table = parse_table("id,n\n007,1\n1.50,2\nx,3\n", "test.csv", {}, &report);
  ASSERT_TRUE(table);
  EXPECT_THAT(table->column(0).vocabulary, ElementsAre("007", "1.50", "x"));
  EXPECT_THAT(table->column(1).numbers, ElementsAre(1, 2, 3));
  EXPECT_EQ(report.rows, 3u);
}

TEST(Csv, EmptyCellsBeforeTheFirstTextStayMissing) {
  const Table table = parsed("a,b\n,1\n,2\nx,3\n");
  EXPECT_TRUE(table.column(0).missing(0));
  EXPECT_TRUE(table.column(0).missing(1));
  EXPECT_EQ(table.column(0).text_at(2), "x");
}

TEST(Csv, AColumnWithoutAnyValueIsNumeric) {
  const Table table = parsed("a,b\n,x\n,y\n");
  EXPECT_THAT(table.column(0).numbers, ElementsAre(IsNan(), IsNan()));
}

TEST(Csv, TheHeaderInTheMiddleIsSkippedAndCounted) {
  TableReport report;
  const auto table = parse_table("a,b\n1,2\na,b\n3,4\n", "test.csv", {}, &report);
  ASSERT_TRUE(table);
  EXPECT_THAT(table->column(0).numbers, ElementsAre(1, 3));
  EXPECT_EQ(report.of(Defect::repeated_header).count, 1u);
  EXPECT_EQ(report.of(Defect::repeated_header).line, 3u);
  EXPECT_EQ(report.rows, 2u);
}

TEST(Csv, ARowWithTheWrongNumberOfCellsIsNamedByLine) {
  EXPECT_EQ(refusal("a,b\n1,2\n\n3\n"), "test.csv:4: 1 cells, expected 2");
  EXPECT_EQ(refusal("a,b\n\"1\n\",2\n3,4,5\n"), "test.csv:4: 3 cells, expected 2");
}

TEST(Csv, BrokenQuotesAreNamedByTheLineTheyBeganOn) {
  EXPECT_EQ(refusal("a,b\n1,2\n\"3\"x,4\n5,6\n"), "test.csv:3: cell 1 has text behind its closing quote");
  EXPECT_EQ(refusal("a,b\n1,2\n3,\"4\n5,6\n"), "test.csv:3: a quote is opened and never closed");
}

TEST(Csv, BadRowsAreLeftOutAndCounted) {
  TableReport report;
  const auto table = parse_table("a,b\n1,2\n3\n\"x\"y,4\n5,6\n", "test.csv", {}, &report);
  ASSERT_TRUE(table);
  EXPECT_THAT(table->column(0).numbers, ElementsAre(1, 5));
  EXPECT_EQ(report.bad_rows(), 2u);
  EXPECT_EQ(report.of(Defect::broken_quotes).line, 4u);
  EXPECT_EQ(report.first_bad_row(), "test.csv:3: 1 cells, expected 2");
}

TEST(Csv, EmptyAndHeaderlessFilesAreRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("test.csv: empty"));
  EXPECT_THAT(refusal("\n\n"), HasSubstr("empty"));
  EXPECT_THAT(refusal("1,2,3\n4,5,6\n"), HasSubstr("test.csv:1: the first line holds numbers"));
  EXPECT_EQ(parsed("a,b\n").rows(), 0u);
}

TEST(Csv, NamesCanBeGiven) {
  TableOptions options;
  options.names = {"x", "y"};
  const Table table = parsed("1,2\n3,4", options);
  EXPECT_THAT(names(table), ElementsAre("x", "y"));
  EXPECT_THAT(table.column(1).numbers, ElementsAre(2, 4));
}

TEST(Csv, LimitsAreKept) {
  TableOptions options;
  options.columns_max = 3;
  EXPECT_THAT(refusal("a,b,c,d\n", options), HasSubstr("more than 3 cells"));
  options = {};
  options.line_bytes_max = 100;
  EXPECT_THAT(refusal("a\n1\n" + std::string(200, 'x') + "\n", options),
              HasSubstr("test.csv:3: a row longer than 100"));
  EXPECT_THAT(refusal("a\n1\n\"" + std::string(200, '\n') + "\"\n", options),
              HasSubstr("test.csv:3: a quote is opened and never closed"));
  options = {};
  options.rows_max = 2;
  EXPECT_THAT(refusal("a\n1\n2\n3\n", options), HasSubstr("test.csv:4: more rows than the limit"));
  options = {};
  options.bytes_max = 10;
  EXPECT_THAT(refusal("a\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", options), HasSubstr("more bytes"));
}

TEST(Csv, LinesOfAnyLengthAcrossTheBufferAreWhole) {
  std::string text = "a,b\n";
  for (int i = 0; i < 40; ++i)
    text += std::string(static_cast<std::size_t>(i) * 3001, 'x') + "y," + std::to_string(i) + "\n";
  const Table table = parsed(text);
  ASSERT_EQ(table.rows(), 40u);
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(table.column(0).text_at(i).size(), i * 3001 + 1);
    EXPECT_EQ(table.column(1).numbers[i], static_cast<double>(i));
  }
}

TEST(Csv, ReadsGzipAndZstd) {
  std::string text = "a,b\n";
  for (int i = 0; i < 100000; ++i) text += std::to_string(i) + ",x\n";
  const Table plain = parsed(text);
  EXPECT_EQ(parsed(gzipped(text)), plain);
  EXPECT_EQ(parsed(zstd_packed(text)), plain);
  EXPECT_EQ(parsed(gzipped("a,b\n1,") + gzipped("2\n3,4\n")).rows(), 2u);
}

TEST(Csv, CompressedStreamsCutShortOrBrokenAreRefused) {
  std::string text = "a,b\n";
  for (int i = 0; i < 1000; ++i) text += std::to_string(i * 7919) + ",x\n";
  for (std::string packed : {gzipped(text), zstd_packed(text)}) {
    EXPECT_THAT(refusal(packed.substr(0, packed.size() / 2)), HasSubstr("stops early"));
    packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
    refusal(packed);
  }
}

TEST(Csv, RecognisesHeaderlessKddFiles) {
  const std::string row =
      "0,tcp,ftp_data,SF,491,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,2,2,0.00,0.00,0.00,0.00,1.00,0.00,0.00,150,25,"
      "0.17,"
      "0.03,0.17,0.00,0.00,0.00,0.05,0.00,normal";
  TableReport report;
  const auto table = parse_table(row + ",20\n" + row + ",15\n", "test.csv", {}, &report);
  ASSERT_TRUE(table);
  EXPECT_TRUE(report.headerless);
  EXPECT_EQ(table->rows(), 2u);
  EXPECT_EQ(table->columns(), 43u);
  EXPECT_EQ((*table->require("flag"))->text_at(1), "SF");
  EXPECT_EQ((*table->require("dst_host_srv_rerror_rate"))->numbers[0], 0);
  EXPECT_EQ((*table->require("difficulty"))->numbers[1], 15);
  EXPECT_EQ(parsed(row + ".\n").columns(), 42u);
}

// Rows of about 100 bytes, so that a piece of 1,000 bytes has ten of them.
std::string many_rows(std::size_t count) {
  std::string text = "number,name,filling\n";
  for (std::size_t i = 0; i < count; ++i) {
    text += std::to_string(i) + ",name" + std::to_string(i % 7) + "," + std::string(80, 'x') + "\n";
  }
  return text;
}

TEST(TableReader, GivesRowsPieceByPieceInOrderForAnyNumberOfThreads) {
  const std::string text = many_rows(5000);
  for (const std::size_t threads : {1, 2, 5}) {
    TableOptions options;
    options.threads = threads;
    options.piece_bytes = 1000;
    auto reader = TableReader::open_memory(text, "test.csv", options);
    ASSERT_TRUE(reader);
    EXPECT_THAT(reader->names(), ElementsAre("number", "name", "filling"));
    reader->read_as(0, Kind::numeric);
    std::size_t rows = 0, tables = 0;
    for (;; ++tables) {
      const auto part = reader->next(100);
      ASSERT_TRUE(part);
      if (part->rows() == 0) break;
      for (std::size_t row = 0; row < part->rows(); ++row, ++rows) {
        ASSERT_EQ(part->column(0).numbers[row], static_cast<double>(rows));
        ASSERT_EQ(part->column(1).text_at(row), "name" + std::to_string(rows % 7));
        ASSERT_EQ(reader->line(row), rows + 2);
      }
    }
    EXPECT_EQ(rows, 5000u);
    EXPECT_GT(tables, 20u);
    EXPECT_EQ(reader->report().rows, 5000u);
  }
}

TEST(TableReader, TheWholeTableIsTheSameForAnyPiecesAndThreads) {
  std::string text = "a,b,c,d\n";
  for (int i = 0; i < 12000; ++i) {
    // b turns out to be text in the middle, c at once, d has nothing for long.
    text += std::to_string(i * 7) + (i < 7700 ? ",00" : ",x") + std::to_string(i % 50) + ",\"t" +
            std::to_string(i % 9) + "\"," + (i > 9000 ? "late" : "") + "\n";
    if (i % 100 == 0) text += "1,2\n";
  }
  TableReport expected_report;
  const auto expected = parse_table(text, "test.csv", {}, &expected_report);
  ASSERT_TRUE(expected);
  EXPECT_EQ(expected->column(1).vocabulary[0], "000");
  EXPECT_EQ(expected->column(3).kind, Kind::text);
  EXPECT_EQ(expected_report.bad_rows(), 120u);
  for (const std::size_t threads : {1, 3}) {
    for (const std::size_t piece_bytes : {16, 500, 20000}) {
      TableOptions options;
      options.threads = threads;
      options.piece_bytes = piece_bytes;
      TableReport report;
      const auto table = parse_table(text, "test.csv", options, &report);
      ASSERT_TRUE(table) << table.error().message;
      EXPECT_EQ(*table, *expected) << threads << " " << piece_bytes;
      EXPECT_EQ(report.first_bad_row(), expected_report.first_bad_row());
      EXPECT_EQ(report.bad_rows(), 120u);
    }
  }
}

TEST(TableReader, ColumnsCanBeTypedPieceByPiece) {
  TableOptions options;
  options.piece_bytes = 16;  // but the first is larger
  std::string text = "a\n";
  for (int i = 0; i < 40000; ++i) text += "1\n";
  for (int i = 0; i < 40; ++i) text += "x\n";
  auto reader = TableReader::open_memory(text, "test.csv", options);
  ASSERT_TRUE(reader);
  reader->read_as_found();
  bool numbers = false, texts = false;
  for (;;) {
    const auto part = reader->next();
    ASSERT_TRUE(part);
    if (part->rows() == 0) break;
    (part->column(0).kind == Kind::numeric ? numbers : texts) = true;
  }
  EXPECT_TRUE(numbers && texts);
}

TEST(TableReader, ARowWithATextWhereANumberBelongsIsLeftOutAndNamed) {
  auto reader = TableReader::open_memory("a,b\n1,2\n3,many\n4,\n5,6\n", "test.csv");
  ASSERT_TRUE(reader);
  reader->read_as(1, Kind::numeric);
  const auto table = reader->next(10);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->rows(), 3u);
  EXPECT_EQ(table->column(0).cell(1), "4");
  EXPECT_TRUE(table->column(1).missing(1));
  EXPECT_EQ(table->column(1).numbers.back(), 6);
  EXPECT_EQ(reader->line(2), 5u);
  EXPECT_EQ(reader->report().bad_rows(), 1u);
  EXPECT_EQ(reader->report().first_bad_row(), "test.csv:3: column 'b' holds 'many', expected a number");

  TableOptions strict;
  strict.strict = true;
  strict.numbers = {"b", "nowhere"};
  EXPECT_EQ(parse_table("a,b\n1,2\n3,many\n", "test.csv", strict).error().message,
            "test.csv:3: column 'b' holds 'many', expected a number");
}

// Every seventh row has a text in one of two columns of numbers, every 21st in both; a third column becomes
// text late, for which the whole file is read again.
TEST(TableReader, RowsThatAreLeftOutAreTheSameHoweverAFileIsRead) {
  std::string csv = "a,b,c,d\n", json;
  std::vector<double> left;
  for (int i = 0; i < 3000; ++i) {
    const bool bad_a = i % 7 == 3, bad_b = i % 21 == 3 || i % 7 == 5;
    if (!bad_a && !bad_b) left.push_back(i);
    const std::string d = i > 2500 ? "late" : "007";
    csv += (bad_a ? "x" : std::to_string(i)) + "," + (bad_b ? "y" : "1") + ",word" + std::to_string(i % 5) +
           "," + d + "\n";
    json += "{\"a\":" + (bad_a ? "\"x\"" : std::to_string(i)) + ",\"b\":" + (bad_b ? "[1]" : "1") +
            ",\"c\":\"word" + std::to_string(i % 5) + "\",\"d\":" + (i > 2500 ? "\"late\"" : "7") + "}\n";
  }
  for (const std::string& text : {csv, json}) {
    for (const std::size_t threads : {1, 3}) {
      TableOptions options;
      options.threads = threads;
      options.piece_bytes = 500;
      options.numbers = {"a", "b"};
      TableReport report;
      const auto table = parse_table(text, "test", options, &report);
      ASSERT_TRUE(table) << table.error().message;
      EXPECT_EQ(report.rows, left.size());
      EXPECT_EQ(report.of(Defect::not_a_number).count, 3000 - left.size());
      EXPECT_THAT(report.first_bad_row(), testing::EndsWith("column 'a' holds 'x', expected a number"));
      ASSERT_EQ(table->rows(), left.size());
      for (std::size_t row = 0; row < left.size(); ++row) {
        const auto i = static_cast<int>(left[row]);
        ASSERT_EQ(table->column(0).numbers[row], left[row]);
        ASSERT_EQ(table->column(1).numbers[row], 1);
        ASSERT_EQ(table->column(2).text_at(row), "word" + std::to_string(i % 5));
        ASSERT_EQ(table->column(3).text_at(row), i > 2500 ? "late" : text == csv ? "007" : "7");
      }
    }
  }
}

TEST(Csv, AFileThatIsNotThere) {
  const auto table = read_table("/nowhere/at/all.csv");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, Errc::not_found);
  EXPECT_THAT(table.error().message, HasSubstr("/nowhere/at/all.csv"));
  EXPECT_FALSE(read_table("/"));
}

TEST(Csv, ReadsFilesTwiceWhereItMust) {
  const TemporaryFolder folder;
  const auto path = folder / "table.csv";
  ASSERT_TRUE(write_file(path, "a,b\n01,1\nx,2\n"));
  const auto table = read_table(path);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT(table->column(0).vocabulary, ElementsAre("01", "x"));
}

}  // namespace
}  // namespace nidus::data
