// Pieces of an HTML page that needs no other file and no network.
//   Page page("sspo report", "What this page is about.");
//   page.section("Result", paragraph("Loss fell.") + table({.head = {"method", "near"}, .rows = {{{"sspo"}, {"0.61", "± 0.02"}}}}));
// Text from outside becomes Html through text(), which escapes it; no function here takes it otherwise.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sspo::report {

struct Html {
  std::string code;
  bool empty() const { return code.empty(); }
  Html& operator+=(const Html& b) { return code += b.code, *this; }
};
inline Html operator+(Html a, const Html& b) { return a += b; }

// <, >, &, quotes as entities; what is no UTF-8 and control characters as \xNN.
Html text(std::string_view raw);
Html paragraph(std::string_view raw);
Html note(std::string_view raw);       // small print
Html heading(std::string_view raw);    // inside a section
Html preformatted(std::string_view raw);
Html figure(const Html& inside, std::string_view caption);
Html folded(std::string_view summary, const Html& inside);  // shown when clicked
Html columns(const std::vector<Html>& parts);               // side by side as far as the page is wide

struct Cell {
  std::string value, small = {};  // small: beneath the value, an interval for instance
};
struct Table {
  std::vector<std::string> head = {};    // empty: none
  std::vector<std::vector<Cell>> rows = {};  // the first column is words, the others are numbers
  bool words = false;                    // all columns are words
};
Html table(const Table& t);

// --- numbers, as people read them

std::string number(double x, int digits);         // "−0.012"; "–" for what is not finite
std::string signed_number(double x, int digits);  // "+0.012"
std::string short_number(double x);               // four digits: "1.5e-05", "0.0231", "1250"
std::string interval(double low, double high, int digits);  // "[−0.010, 0.052]"
std::string seconds(double s);                    // "0.42 s", "12.3 s", "3 min 05 s"
std::string bytes(double n);                      // "118 MiB"
std::string count_of(std::size_t n, std::string_view what);  // "1 seed", "3 seeds"

class Page {
 public:
  Page(std::string_view title, std::string_view promise);
  void section(std::string_view title, const Html& inside);  // an empty one is left out
  std::string html() const;

 private:
  std::string title_;
  Html promise_, links_, body_;
  int sections_ = 0;
};

}  // namespace sspo::report
