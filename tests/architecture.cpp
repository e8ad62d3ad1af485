// The one-way doors between the rooms of the code, read from its #include lines. A new room is a row.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Room {
  std::string_view name;
  std::vector<std::string_view> sees;     // rooms it may include, whole
  std::vector<std::string_view> files{};  // and single files besides, from the include root
};

// include/sspo/ROOM/ and src/ROOM/ are one room. `kernels` says what each kernel takes, on any device; `cpu` is src/cpu
// alone, its headers are private; the kernels in cpu/isa see raw views and the scalar formulas, never Tensor, never the graph.
const std::vector<Room>& rooms() {
  static const std::vector<Room> table = {
      {"base", {}},
      {"kernels", {"base"}, {"sspo/ops/activation.hpp"}},
      {"cpu/isa", {"base", "kernels", "cpu"}, {"sspo/tensor/arena.hpp", "sspo/tensor/view.hpp", "sspo/ops/elementwise.hpp", "sspo/ops/activation.hpp"}},
      {"cpu", {"base", "kernels"}, {"sspo/tensor/arena.hpp", "sspo/tensor/view.hpp", "sspo/ops/activation.hpp", "backend.hpp"}},
      {"tensor", {"base", "kernels"}, {"backend.hpp", "cpu/cpu_backend.hpp"}},
      {"grad", {"base", "kernels", "tensor"}, {"backend.hpp"}},
      {"ops", {"base", "kernels", "tensor", "grad"}, {"backend.hpp"}},
      {"io", {"base", "tensor"}},
      {"nn", {"base", "kernels", "tensor", "grad", "ops", "io"}, {"backend.hpp"}},
      {"models", {"base", "tensor", "grad", "ops", "io", "nn", "diffusion"}},
      {"diffusion", {"base", "tensor", "grad", "ops", "io"}},
      {"train", {"base", "kernels", "tensor", "grad", "ops", "io", "nn", "diffusion"}, {"backend.hpp"}},
      {"eval", {"base", "tensor", "grad", "ops", "io", "nn", "models"}},
      {"report", {"base", "tensor", "io", "eval"}},
      {"cli", {"base", "tensor", "grad", "ops", "io", "nn", "models", "diffusion", "train", "eval", "report"},
       {"sspo/sspo.hpp", "sspo/testing.hpp", "sspo/cuda.hpp"}},
      {"testing", {"base", "tensor", "grad", "ops", "nn"}, {"sspo/testing.hpp", "backend.hpp"}},
      // Headers that stand in include/sspo and src themselves.
      {"backend.hpp", {"base", "kernels"}, {"sspo/tensor/arena.hpp", "sspo/tensor/view.hpp", "sspo/ops/elementwise_loop.hpp"}},
      {"sspo.hpp", {"base", "tensor", "grad", "ops", "io", "nn", "models", "diffusion", "train", "eval"}},
      {"testing.hpp", {"base", "tensor", "grad", "ops", "nn"}, {"sspo/sspo.hpp"}},
      {"eigen.hpp", {"base", "tensor"}},
      {"cuda.hpp", {"base"}},
  };
  return table;
}

// What costs every user compile time, or is not theirs to have. eigen.hpp is the header one opts into.
constexpr std::string_view not_in_public_headers[] = {
    "cuda", "cublas", "cudnn", "Eigen/", "nlohmann/", "json", "CLI/", "toml++/", "fmt/",
    "iostream", "fstream", "sstream", "iomanip", "format", "print", "regex", "omp.h", "immintrin.h"};

struct SourceFile {
  std::string path;  // from the repository's root
  std::string text;
};

bool starts_with(std::string_view s, std::string_view prefix) { return s.substr(0, prefix.size()) == prefix; }

// "include/sspo/ops/x.hpp", "src/ops/x.cpp", "sspo/ops/x.hpp", "ops/x.hpp"  ->  "ops";  sspo/sspo.hpp -> "sspo.hpp"
std::string_view room_of(std::string_view path) {
  for (const std::string_view root : {"include/", "src/", "sspo/"})
    if (starts_with(path, root)) path.remove_prefix(root.size());
  if (starts_with(path, "cpu/isa/")) return path.substr(0, 7);
  return path.substr(0, path.find('/'));
}

const Room* find_room(std::string_view name) {
  for (const Room& room : rooms())
    if (room.name == name) return &room;
  return nullptr;
}

struct Include {
  int line;
  std::string name;
  bool quoted;
};

std::vector<Include> includes(const std::string& text) {
  std::vector<Include> found;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::size_t at = line.find_first_not_of(" \t");
    if (at == std::string::npos || line[at] != '#') continue;
    at = line.find_first_not_of(" \t", at + 1);
    if (at == std::string::npos || line.compare(at, 7, "include") != 0) continue;
    const std::size_t open = line.find_first_of("\"<", at);
    if (open == std::string::npos) continue;
    const std::size_t close = line.find_first_of("\">", open + 1);
    found.push_back({number, line.substr(open + 1, close - open - 1), line[open] == '"'});
  }
  return found;
}

std::vector<std::string> violations(const std::vector<SourceFile>& files) {
  std::vector<std::string> bad;
  for (const SourceFile& file : files) {
    const bool is_public = starts_with(file.path, "include/");
    const std::string_view here = room_of(file.path);
    const Room* room = find_room(here);
    if (!room) {
      bad.push_back(file.path + ": '" + std::string(here) + "' is not a room of the table");
      continue;
    }
    for (const Include& include : includes(file.text)) {
      const std::string where = file.path + ":" + std::to_string(include.line) + ": ";
      const bool ours = starts_with(include.name, "sspo/") ||
                        (include.quoted && (include.name.find('/') != std::string::npos || find_room(include.name)));
      if (!ours) {
        if (is_public && here != "eigen.hpp")
          for (const std::string_view name : not_in_public_headers)
            if (starts_with(include.name, name)) bad.push_back(where + "a public header includes <" + include.name + ">");
        continue;
      }
      const std::string_view there = room_of(include.name);
      if (is_public && !starts_with(include.name, "sspo/"))
        bad.push_back(where + "a public header includes the private '" + include.name + "'");
      if (there == here) continue;
      const bool whole = std::find(room->sees.begin(), room->sees.end(), there) != room->sees.end();
      const bool single = std::find(room->files.begin(), room->files.end(), include.name) != room->files.end();
      if (!whole && !single)
        bad.push_back(where + "'" + std::string(here) + "' may not include '" + include.name + "'");
    }
  }
  return bad;
}

std::vector<SourceFile> read_tree() {
  namespace fs = std::filesystem;
  std::vector<SourceFile> files;
  const fs::path root = SSPO_SOURCE_DIR;
  for (const char* folder : {"include/sspo", "src"})
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".hpp" && extension != ".cpp") continue;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      files.push_back({fs::relative(entry.path(), root).generic_string(), text.str()});
    }
  return files;
}

bool has(const std::vector<std::string>& list, std::string_view part) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& s) { return s.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("every include goes through a door") {
  const std::vector<SourceFile> files = read_tree();
  REQUIRE(files.size() > 10);
  for (const std::string& line : violations(files)) FAIL_CHECK(line);
}

TEST_CASE("planted violations are found") {
  const std::vector<std::string> bad = violations({
      {"include/sspo/base/planted.hpp", "#pragma once\n#include \"sspo/tensor/tensor.hpp\"\n"},
      {"include/sspo/ops/planted.hpp", "#include <iostream>\n  #  include <Eigen/Dense>\n#include \"cpu/gemm.hpp\"\n"},
      {"src/cpu/isa/planted.cpp", "#include \"sspo/tensor/tensor.hpp\"\n#include \"sspo/tensor/arena.hpp\"\n"},
      {"src/train/planted.cpp", "#include \"sspo/models/unet.hpp\"\n#include <iostream>\n"},
      {"src/attic/planted.cpp", ""},
      {"include/sspo/eigen.hpp", "#include <Eigen/Core>\n"},
  });
  CHECK(has(bad, "include/sspo/base/planted.hpp:2: 'base' may not include 'sspo/tensor/tensor.hpp'"));
  CHECK(has(bad, "include/sspo/ops/planted.hpp:1: a public header includes <iostream>"));
  CHECK(has(bad, "include/sspo/ops/planted.hpp:2: a public header includes <Eigen/Dense>"));
  CHECK(has(bad, "include/sspo/ops/planted.hpp:3: a public header includes the private 'cpu/gemm.hpp'"));
  CHECK(has(bad, "src/cpu/isa/planted.cpp:1: 'cpu/isa' may not include 'sspo/tensor/tensor.hpp'"));
  CHECK(has(bad, "src/train/planted.cpp:1: 'train' may not include 'sspo/models/unet.hpp'"));
  CHECK(has(bad, "'attic' is not a room of the table"));
  CHECK(has(bad, "include/sspo/ops/planted.hpp:3: 'ops' may not include 'cpu/gemm.hpp'"));
  CHECK(bad.size() == 8);  // and nothing that is allowed
}

TEST_CASE("the table has no cycle") {
  // Whole-room doors alone: walking them from any room never comes back to it.
  for (const Room& start : rooms()) {
    std::vector<std::string_view> seen, todo(start.sees);
    while (!todo.empty()) {
      const std::string_view name = todo.back();
      todo.pop_back();
      CHECK_MESSAGE(name != start.name, "cycle through " << std::string(name));
      if (name == start.name || std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
      seen.push_back(name);
      const Room* room = find_room(name);
      REQUIRE(room);
      todo.insert(todo.end(), room->sees.begin(), room->sees.end());
    }
  }
}
