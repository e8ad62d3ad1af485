// One of the vendor's libraries, opened when it is first asked for: programs start, and run our own kernels, where it is not installed.
//   struct Lt { SharedLibrary file{"cuBLASLt", "libcublasLt.so.13", "--matmul own"};   SSPO_ENTRY(cublasLtCreate); };
#pragma once
#include <dlfcn.h>

#include <string>

#include "sspo/base/error.hpp"

#ifndef SSPO_CUDA_LIBRARIES
#define SSPO_CUDA_LIBRARIES ""  // where the toolkit that this was built with has its libraries
#endif

namespace sspo::cuda::library {

class SharedLibrary {
 public:
  // Where the loader looks, then in `folder`; it stays open. Throws Error: what is not there, and what does without it.
  SharedLibrary(const char* what, const std::string& file, const char* way_out, const std::string& folder = SSPO_CUDA_LIBRARIES) : what_(what), way_out_(way_out) {
    it_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    const std::string got = it_ ? "" : dlerror();
    if (!it_ && !folder.empty()) it_ = dlopen((folder + "/" + file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!it_) refuse(" was not found", file + " where the loader looks (LD_LIBRARY_PATH, ldconfig)" + (folder.empty() ? "" : " or in " + folder), got);
  }
  template <class Function> Function entry(const char* name) const {
    void* const found = dlsym(it_, name);
    if (!found) refuse(" lacks a function", name, "another version");
    return reinterpret_cast<Function>(found);
  }

 private:
  [[noreturn]] void refuse(const char* what, const std::string& expected, const std::string& got) const {
    fail({.op = "cuda", .what = what_ + std::string(what), .expected = expected, .got = got, .hint = way_out_ + std::string(" does without it"), .kind = ErrorKind::internal});
  }
  const char *what_, *way_out_;
  void* it_ = nullptr;
};

}  // namespace sspo::cuda::library

// A member of this name: the library's function, looked up in `file`.
#define SSPO_ENTRY(name) decltype(&::name) name = file.entry<decltype(&::name)>(#name)
