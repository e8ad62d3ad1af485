// Charts as inline SVG, drawn for a width of 400 pixels: a page shows several side by side, a telephone one beneath the other.
//   Html h = line_chart({.title = "loss", .x_title = "update", .series = {{.name = "sspo", .x = steps, .y = losses}}, .average = 0.05});
// Values that are not finite are gaps. Colours are numbers of the page's palette (style.hpp): 0 grey, 1 blue, 2 green, ...
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "report/html.hpp"

namespace sspo::report {

struct Series {
  std::string name;
  std::vector<double> x = {}, y = {};
  int colour = -1;      // -1: by its place, from 1
  bool dots = false;    // a mark at each value
};
struct LineChart {
  std::string title, x_title = "update", note = {};
  std::vector<Series> series = {};
  bool logarithmic = false;          // the vertical axis, if all values are positive
  double average = 0;                // weight of a new value in the running average drawn over the values; 0: none
  std::optional<double> level = {};  // a horizontal line, log 2 for instance
  bool steps = false;                // constant between values
};
Html line_chart(const LineChart& c);

// Bars that are cut into shares.
struct ShareBars {
  std::string title, x_title = {}, note = {};
  std::vector<std::string> labels = {};           // of the bars
  struct Part {
    std::string name;
    int colour;
    std::vector<double> shares;              // of each bar; not finite: no bar
  };
  std::vector<Part> parts = {};                   // from the bottom up
};
Html share_bars(const ShareBars& c);

// Shares in rows and columns, written into cells that are coloured by how far they lie from one half.
struct HeatTable {
  std::string title, x_title = {}, note = {};
  std::vector<std::string> columns = {}, rows = {};
  struct Cell {
    double share, n;                    // not finite: an empty cell; n stands beneath the share
    std::string told;                   // where the mouse rests on it
  };
  std::vector<Cell> cells = {};              // row by row, as many as rows times columns
  int below = 1, above = 3;                  // colours of shares below and above one half
};
Html heat_table(const HeatTable& h);

// Values with intervals, one a row.
struct DotPlot {
  std::string title, note = {};
  struct Dot {
    std::string label;
    double value, low, high;
    int colour = 1;
  };
  std::vector<Dot> dots = {};
  std::optional<double> level = {};          // a vertical line, 0 for differences
  int digits = 2;
};
Html dot_plot(const DotPlot& c);

// About `wanted` round numbers (1, 2, 5 times a power of ten) within low ... high; of a logarithm: decades, then 2 and 5 times.
std::vector<double> ticks(double low, double high, int wanted);
std::vector<double> log_ticks(double low, double high);

}  // namespace sspo::report
