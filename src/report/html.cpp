#include "report/html.hpp"

#include <fmt/format.h>

#include <cmath>

#include "report/style.hpp"
#include "sspo/io/file.hpp"

namespace sspo::report {
namespace {

Html element(std::string_view tag, const Html& inside, std::string_view css = {}) {
  return {fmt::format("<{}{}>{}</{}>\n", tag, css.empty() ? "" : fmt::format(" class=\"{}\"", css), inside.code, tag)};
}

// A minus sign is wider than a hyphen, and lines up with digits.
std::string with_minus(std::string digits) {
  for (std::size_t at; (at = digits.find('-')) != std::string::npos;) digits.replace(at, 1, "\u2212");
  return digits;
}

}  // namespace

Html text(std::string_view raw) {
  std::string code, line;
  const auto flush = [&] {
    for (const char c : io::printable(line, std::size_t(1) << 20)) switch (c) {
        case '&': code += "&amp;"; break;
        case '<': code += "&lt;"; break;
        case '>': code += "&gt;"; break;
        case '"': code += "&quot;"; break;
        case '\'': code += "&#39;"; break;
        default: code += c;
      }
    line.clear();
  };
  for (const char c : raw) {
    if (c != '\n') line += c;
    else flush(), code += '\n';
  }
  flush();
  return {code};
}

Html paragraph(std::string_view raw) { return element("p", text(raw)); }
Html note(std::string_view raw) { return element("p", text(raw), "note"); }
Html heading(std::string_view raw) { return element("h3", text(raw)); }
Html preformatted(std::string_view raw) { return element("pre", text(raw)); }
Html figure(const Html& inside, std::string_view caption) { return element("figure", inside + element("figcaption", text(caption))); }
Html folded(std::string_view summary, const Html& inside) { return element("details", element("summary", text(summary)) + inside); }

Html columns(const std::vector<Html>& parts) {
  Html all;
  for (const Html& part : parts) all += part;
  return all.empty() ? all : element("div", all, "columns");
}

Html table(const Table& t) {
  const auto row = [](const std::vector<Cell>& cells, std::string_view tag) {
    Html html;
    for (const Cell& c : cells) {
      const Html small = c.small.empty() ? Html{} : element("small", text(c.small));
      html += element(&c == cells.data() ? "th" : tag, text(c.value) + small);
    }
    return element("tr", html);
  };
  Html html;
  if (!t.head.empty()) {
    std::vector<Cell> head;
    for (const std::string& h : t.head) head.push_back({h});
    html += element("thead", row(head, "th"));
  }
  Html rows;
  for (const std::vector<Cell>& r : t.rows) rows += row(r, "td");
  return element("div", element("table", html + element("tbody", rows), t.words ? "words" : ""), "wide");
}

std::string number(double x, int digits) {
  if (!std::isfinite(x)) return "\u2013";
  const std::string s = fmt::format("{:.{}f}", x, digits);
  return with_minus(s.find_first_of("123456789") == std::string::npos && s[0] == '-' ? s.substr(1) : s);
}
std::string signed_number(double x, int digits) {
  const std::string s = number(x, digits);
  return x > 0 && s.find_first_of("123456789") != std::string::npos ? "+" + s : s;
}
std::string short_number(double x) { return std::isfinite(x) ? with_minus(fmt::format("{:.4g}", x)) : "\u2013"; }
std::string interval(double low, double high, int digits) { return "[" + number(low, digits) + ", " + number(high, digits) + "]"; }

std::string seconds(double s) {
  if (s >= 59.95) return fmt::format("{} min {:02} s", std::lround(s) / 60, std::lround(s) % 60);
  return fmt::format("{:.{}f} s", s, s < 1 ? 2 : 1);
}
std::string bytes(double n) {
  constexpr double mib = 1024.0 * 1024.0;
  return n >= 1024 * mib ? fmt::format("{:.2f} GiB", n / (1024 * mib)) : fmt::format("{:.{}f} MiB", n / mib, n < 10 * mib ? 1 : 0);
}
std::string count_of(std::size_t n, std::string_view what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

Page::Page(std::string_view title, std::string_view promise) : title_(title), promise_(paragraph(promise)) {}

void Page::section(std::string_view title, const Html& inside) {
  if (inside.empty()) return;
  const std::string id = fmt::format("s{}", ++sections_);
  links_ += {fmt::format("<a href=\"#{}\">{}</a>\n", id, text(title).code)};
  body_ += {fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", id, text(title).code, inside.code)};
}

std::string Page::html() const {
  const std::string title = text(title_).code;
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n{}<nav>\n{}</nav>\n</header>\n{}</body>\n</html>\n",
      title, style, title, promise_.code, links_.code, body_.code);
}

}  // namespace sspo::report
