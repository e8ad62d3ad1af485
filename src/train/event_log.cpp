#include "sspo/train/event_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "io/calls.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "events.out.tfevents.";

[[noreturn]] void io_error(const std::string& path, const char* what, int reason) {
  fail({.op = io::printable(path, 4096), .what = what + (": " + std::generic_category().message(reason)), .kind = ErrorKind::io}, Site{});
}

template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i) bytes += char(std::uint64_t(value) >> 8 * i & 0xff);
  return bytes;
}

// --- protobuf: a field is its number and wire type (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes), then the value
std::string varint(std::uint64_t v) {
  std::string bytes;
  for (; v >= 128; v >>= 7) bytes += char((v & 127) | 128);
  return bytes += char(v);
}
std::string key(int field, int wire) { return varint(std::uint64_t(field) << 3 | std::uint64_t(wire)); }
std::string number(int field, std::uint64_t v) { return key(field, 0) + varint(v); }
std::string real(int field, double v) { return key(field, 1) + little_endian(std::bit_cast<std::uint64_t>(v)); }
std::string real(int field, float v) { return key(field, 5) + little_endian(std::bit_cast<std::uint32_t>(v)); }
std::string bytes(int field, std::string_view v) { return key(field, 2) + varint(v.size()) + std::string(v); }

std::string event(double wall_time, Index step, const std::string& what) { return real(1, wall_time) + number(2, std::uint64_t(step)) + what; }

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// The files are read in the order of their names: a later one than any that is there, wherever the clock has gone meanwhile.
std::string next_path(const std::string& folder) {
  std::uint64_t seconds = std::uint64_t(std::max(now(), 0.0));
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    std::uint64_t there = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), there);
    if (there < 9'000'000'000) seconds = std::max(seconds, there + 1);
  }
  if (error) io_error(folder, "cannot be listed", error.value());
  const std::string digits = std::to_string(seconds);
  return folder + "/" + std::string(prefix) + std::string(digits.size() < 10 ? 10 - digits.size() : 0, '0') + digits + ".sspo";
}

}  // namespace

std::uint32_t crc32c(std::string_view data) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0u);  // x^32 + x^28 + x^27 + ..., bits reversed
      t[i] = c;
    }
    return t;
  }();
  std::uint32_t c = ~0u;
  for (const char byte : data) c = c >> 8 ^ table[(c ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~c;
}

std::uint32_t masked_crc32c(std::string_view data) { return std::rotr(crc32c(data), 15) + 0xa282ead8u; }

std::string tf_record(std::string_view data) {
  const std::string length = little_endian(std::uint64_t(data.size()));
  return length + little_endian(masked_crc32c(length)) + std::string(data) + little_endian(masked_crc32c(data));
}

std::string scalars_event(double wall_time, Index step, const std::vector<Metric>& metrics) {
  std::string summary;
  for (const Metric& m : metrics)
    if (std::isfinite(float(m.value))) summary += bytes(1, bytes(1, m.name) + real(2, float(m.value)));
  return event(wall_time, step, bytes(5, summary));
}

EventLog::EventLog(const std::string& folder, Index step) : path_(next_path(folder)) {
  descriptor_ = io::faulty("open", [&] { return open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666); });
  if (descriptor_ < 0) io_error(path_, "cannot be written", errno);
  write(event(now(), 0, bytes(3, "brain.Event:2")));                   // file_version
  if (step > 0) write(event(now(), step + 1, bytes(7, number(1, 1))));  // session_log, START: what there is of later steps goes
}

EventLog::~EventLog() {
  if (descriptor_ >= 0) close(descriptor_);
}

void EventLog::add(Index step, const std::vector<Metric>& metrics) { write(scalars_event(now(), step, metrics)); }

void EventLog::write(std::string_view data) {
  if (const int reason = io::append_all(descriptor_, tf_record(data))) io_error(path_, "cannot be written", reason);
}

}  // namespace sspo
