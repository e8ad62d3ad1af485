#include "sspo/train/scratch_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "io/calls.hpp"
#include "sspo/io/file.hpp"

namespace sspo {

struct ScratchFile::File {
  std::string path;
  int descriptor = -1;
  std::uint64_t end = 0;
  ~File() {
    if (descriptor >= 0) close(descriptor);
  }

  [[noreturn]] void fail_with(const char* what, int reason) const {
    fail({.op = io::printable(path, 4096), .what = std::string(what) + ": " + std::strerror(reason), .kind = ErrorKind::io}, Site{});
  }
  std::uint64_t reserve(std::uint64_t bytes) {
    const std::uint64_t begin = (end + 63) / 64 * 64;
    if (bytes > 0) {
      int reason = 0;
      do {
        reason = io::fault_at("write");
        if (reason == 0) reason = posix_fallocate(descriptor, off_t(begin), off_t(bytes));
      } while (reason == EINTR);
      if (reason) fail_with("no room for masters and the optimizer's states", reason);
    }
    end = begin + bytes;
    return begin;
  }
  void read(std::uint64_t at, char* to, std::uint64_t bytes) const {
    while (bytes > 0) {
      const auto got = io::faulty("read", [&] { return pread(descriptor, to, std::min<std::uint64_t>(bytes, 1u << 30), off_t(at)); });
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail_with("cannot be read", got < 0 ? errno : EIO);
      to += got, at += std::uint64_t(got), bytes -= std::uint64_t(got);
    }
  }
  void write(std::uint64_t at, const char* from, std::uint64_t bytes) const {
    while (bytes > 0) {
      const auto done = io::faulty("write", [&] { return pwrite(descriptor, from, io::few(std::min<std::uint64_t>(bytes, 1u << 30)), off_t(at)); });
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) fail_with("cannot be written", errno);
      from += done, at += std::uint64_t(done), bytes -= std::uint64_t(done);
    }
  }
};

ScratchFile::ScratchFile(const std::string& folder) : file_(Shared<File>::make()) {
  File& f = *file_;
  f.path = folder + "/scratch";
  do f.descriptor = io::faulty("open", [&] { return open(f.path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600); });
  while (f.descriptor < 0 && errno == EINTR);
  if (f.descriptor < 0) f.fail_with("cannot be made", errno);
  if (io::faulty("remove", [&] { return unlink(f.path.c_str()); }) != 0) f.fail_with("its name cannot be removed", errno);
}

std::uint64_t ScratchFile::bytes() const { return file_->end; }

StateTensor ScratchFile::keep(const Tensor& x) const {
  const std::uint64_t bytes = std::uint64_t(x.numel()) * size_of(x.dtype()), at = file_->reserve(bytes);
  const auto on_cpu = [](const Tensor& t) { return t.device().kind() == DeviceKind::cpu; };
  const auto load = [file = file_, shape = x.shape(), dtype = x.dtype(), device = x.device(), at, bytes, on_cpu] {
    Tensor y = Tensor::empty(shape, dtype, device);
    if (on_cpu(y)) {
      file->read(at, static_cast<char*>(y.mutable_raw()), bytes);
    } else {
      std::vector<char> host(bytes);
      file->read(at, host.data(), bytes);
      backend(device).copy_from_host(host.data(), y.mutable_raw(), bytes);
    }
    return y;
  };
  const auto store = [file = file_, shape = x.shape(), dtype = x.dtype(), at, bytes, on_cpu](const Tensor& y) {
    if (!(y.shape() == shape) || y.dtype() != dtype || !y.contiguous()) fail({.op = "scratch file", .what = "another tensor", .expected = shape.str(), .got = y.str(), .kind = ErrorKind::internal}, Site{});
    if (on_cpu(y)) return file->write(at, static_cast<const char*>(y.raw()), bytes);
    std::vector<char> host(bytes);
    backend(y.device()).copy_to_host(y.raw(), host.data(), bytes);
    file->write(at, host.data(), bytes);
  };
  store(x);
  return StateTensor(x.shape(), x.dtype(), load, store);
}

}  // namespace sspo
