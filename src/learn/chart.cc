#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "learn/internal/chart.h"

namespace nidus::learn::internal {
namespace {

// In the units of the picture, which the page scales.
constexpr double kWidth = 520, kHeight = 400, kLeft = 58, kRight = 14, kTop = 12, kBottom = 48;

double fraction(const Axis& axis, double value) {
  if (!(value > axis.low)) return 0;
  if (!(value < axis.high)) return 1;
  if (axis.logarithmic) return std::log(value / axis.low) / std::log(axis.high / axis.low);
  return (value - axis.low) / (axis.high - axis.low);
}

// Beyond, a name is cut: what stands in a data set's cells may be long.
constexpr std::size_t kNameMax = 120;

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\n':
      case '\t':
        out += ' ';
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += "\xEF\xBF\xBD";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string name_of(std::string_view text) {
  if (text.size() <= kNameMax) return "<bdi>" + escaped(text) + "</bdi>";
  std::size_t end = kNameMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return "<bdi>" + escaped(text.substr(0, end)) + "…</bdi>";
}

Chart::Chart(std::string_view id, std::string_view title, std::string_view description, Axis x, Axis y)
    : id_(id), x_(std::move(x)), y_(std::move(y)) {
  CHECK(x_.low < x_.high && y_.low < y_.high);
  CHECK((!x_.logarithmic || x_.low > 0) && (!y_.logarithmic || y_.low > 0));
  head_ = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{}-t {}-d\" "
      "xmlns=\"http://www.w3.org/2000/svg\">"
      "<title id=\"{}-t\">{}</title><desc id=\"{}-d\">{}</desc>\n",
      kWidth, kHeight, id_, id_, id_, escaped(title), id_, escaped(description));
}

double Chart::at_x(double value) const { return kLeft + fraction(x_, value) * (kWidth - kLeft - kRight); }

double Chart::at_y(double value) const {
  return kHeight - kBottom - fraction(y_, value) * (kHeight - kTop - kBottom);
}

void Chart::line(Points points, std::string_view style) {
  if (points.empty()) return;
  shapes_ += fmt::format("<polyline class=\"{}\" points=\"", escaped(style));
  for (const auto& [x, y] : points) shapes_ += fmt::format("{:.1f},{:.1f} ", at_x(x), at_y(y));
  shapes_.back() = '"';
  shapes_ += "/>\n";
}

void Chart::rectangle(double x0, double x1, double y0, double y1, std::string_view style,
                      std::string_view hint) {
  const double left = at_x(x0), top = at_y(y1);
  shapes_ +=
      fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\">",
                  escaped(style), left, top, std::max(0.0, at_x(x1) - left), std::max(0.0, at_y(y0) - top));
  if (!hint.empty()) shapes_ += "<title>" + escaped(hint) + "</title>";
  shapes_ += "</rect>\n";
}

void Chart::dot(double x, double y, double radius, std::string_view style, std::string_view hint) {
  shapes_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\">", escaped(style),
                         at_x(x), at_y(y), radius);
  if (!hint.empty()) shapes_ += "<title>" + escaped(hint) + "</title>";
  shapes_ += "</circle>\n";
}

void Chart::note(double x, double y, std::string_view text, std::string_view style) {
  // Below and to the right, where a curve that rises from the left leaves room.
  constexpr double kRoom = 125;
  const double px = at_x(x), py = at_y(y);
  const bool right = px < kWidth - kRoom;
  shapes_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                         escaped(style), px + (right ? 10 : -10), std::min(py + 20, kHeight - kBottom - 6),
                         right ? "start" : "end", escaped(text));
}

std::string Chart::svg() const {
  std::string out = head_;
  const double bottom = kHeight - kBottom, right = kWidth - kRight;
  for (const auto& [value, text] : x_.ticks) {
    const double x = at_x(value);
    out += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>", x, kTop,
                       bottom);
    out += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x,
                       bottom + 18, escaped(text));
  }
  for (const auto& [value, text] : y_.ticks) {
    const double y = at_y(value);
    out += fmt::format("<line class=\"grid\" x1=\"{1}\" x2=\"{2}\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/>", y, kLeft,
                       right);
    out += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                       kLeft - 7, y + 4, escaped(text));
  }
  out += shapes_;
  out += fmt::format("<path class=\"axis\" d=\"M{} {}V{}H{}\"/>", kLeft, kTop, bottom, right);
  out += fmt::format("<text class=\"title\" x=\"{:.0f}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                     (kLeft + right) / 2, kHeight - 8, escaped(x_.title));
  out += fmt::format(
      "<text class=\"title\" transform=\"translate(14 {:.0f}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
      (kTop + bottom) / 2, escaped(y_.title));
  return out + "</svg>\n";
}

}  // namespace nidus::learn::internal
