// Libraries that are opened when first asked for: found, found in a folder, missing in words.
#include "gpu/shared_library.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>

using namespace sspo;
using cuda::library::SharedLibrary;

namespace {

std::string text_of(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    CHECK(e.info().kind == ErrorKind::internal);
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("shared library: functions by name, wherever it lies") {
  Dl_info loaded{};
  using Cosine = double (*)(double);  // of a library that no sanitizer answers for
  REQUIRE(dladdr(reinterpret_cast<void*>(static_cast<Cosine>(&std::cos)), &loaded));
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("sspo-library-" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  std::filesystem::create_symlink(std::filesystem::canonical(loaded.dli_fname), folder / "libonly_here.so.9");
  const SharedLibrary by_loader("the library", std::filesystem::path(loaded.dli_fname).filename(), "nothing", ""), by_folder("the library", "libonly_here.so.9", "nothing", folder);
  for (const SharedLibrary* file : {&by_loader, &by_folder}) CHECK(file->entry<Cosine>("cos")(0) == 1);
  const std::string lacking = text_of([&] { by_folder.entry<Cosine>("cudnnCreateTomorrow"); });
  CHECK_MESSAGE(lacking.find("the library lacks a function") != std::string::npos, lacking);
  CHECK_MESSAGE(lacking.find("cudnnCreateTomorrow") != std::string::npos, lacking);
  std::filesystem::remove_all(folder);
}

TEST_CASE("shared library: what is not there is named, with the way out") {
  const std::string text = text_of([] { SharedLibrary("cuDNN", "libnowhere.so.9", "--conv own", "/no/folder"); });
  for (const char* part : {"cuDNN was not found", "libnowhere.so.9", "LD_LIBRARY_PATH", "/no/folder", "--conv own does without it"}) CHECK_MESSAGE(text.find(part) != std::string::npos, text);
}
