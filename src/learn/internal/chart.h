#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nidus::learn::internal {

// Text between tags or in an attribute: markup characters become references, control characters U+FFFD.
std::string escaped(std::string_view text);

// A name out of the data as markup: escaped, cut if it is long, and within <bdi>, which keeps one that runs
// right to left from turning its neighbours around.
std::string name_of(std::string_view text);

// One axis of a chart. Values outside are drawn at its ends.
struct Axis {
  std::string title;
  double low = 0, high = 1;
  bool logarithmic = false;  // then 0 < low
  std::vector<std::pair<double, std::string>> ticks;
};

// A picture with two axes, as SVG for a page whose style sheet knows the classes "axis", "grid", "tick" and
// those that the caller names. Shapes are drawn in the order of the calls. All texts are escaped here.
class Chart {
 public:
  using Points = std::span<const std::pair<double, double>>;

  // `id` is unique on the page; title and description are for who cannot see the picture.
  Chart(std::string_view id, std::string_view title, std::string_view description, Axis x, Axis y);

  void line(Points points, std::string_view style);
  void rectangle(double x0, double x1, double y0, double y1, std::string_view style,
                 std::string_view hint = "");
  // A dot that says something when pointed at.
  void dot(double x, double y, double radius, std::string_view style, std::string_view hint = "");
  // Text beside a place, below it.
  void note(double x, double y, std::string_view text, std::string_view style);

  std::string svg() const;

 private:
  double at_x(double value) const;
  double at_y(double value) const;

  std::string id_, head_, shapes_;
  Axis x_, y_;
};

}  // namespace nidus::learn::internal
