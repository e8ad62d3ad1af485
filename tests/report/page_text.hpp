// What tests of pages share: is a part there, and how often.
#pragma once
#include <string>

inline bool holds(const std::string& all, const std::string& part) { return all.find(part) != std::string::npos; }
inline std::size_t count(const std::string& all, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = all.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}
