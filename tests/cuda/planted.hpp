// Kernels with one planted mistake each, and the same without it.
#pragma once
#include <string>
#include <vector>

namespace planted {

struct Bug {
  const char* name;
  const char* kind;           // what the checker must call it
  const char* marker;         // a text in the line where it must say it is; null: any
  void (*run)(bool mistake);  // launches the kernel
};
const std::vector<Bug>& bugs();

}  // namespace planted
