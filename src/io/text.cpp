#include "io/text.hpp"

#include "sspo/io/file.hpp"

namespace sspo::io {
namespace {

// The second byte's range depends on the first: no overlong forms, no surrogates, nothing above U+10FFFF.
bool second_byte_fits(unsigned char first, unsigned char second) {
  switch (first) {
    case 0xe0: return second >= 0xa0 && second <= 0xbf;
    case 0xed: return second >= 0x80 && second <= 0x9f;
    case 0xf0: return second >= 0x90 && second <= 0xbf;
    case 0xf4: return second >= 0x80 && second <= 0x8f;
    default: return second >= 0x80 && second <= 0xbf;
  }
}

// Characters that move the cursor, break the line or reorder text: C0, DEL, C1, U+2028/9, the bidirectional controls.
bool is_control(std::string_view sequence) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(sequence[i]); };
  if (sequence.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (sequence.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0;
  if (sequence.size() != 3 || byte(0) != 0xe2) return false;
  return (byte(1) == 0x80 && byte(2) >= 0xa8 && byte(2) <= 0xae) || (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9);
}

void append_escaped(std::string& out, std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  for (const char c : bytes) {
    const auto b = static_cast<unsigned char>(c);
    out += {'\\', 'x', digits[b >> 4], digits[b & 15]};
  }
}

std::string escape(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = utf8_sequence(bytes, i);
    const std::string_view sequence = bytes.substr(i, length ? length : 1);
    if (length == 0 || is_control(sequence)) append_escaped(out, sequence);
    else out += sequence;
    i += sequence.size();
  }
  return out;
}

bool inside_sequence(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::size_t utf8_sequence(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length == 0 || bytes.size() - at < length || !second_byte_fits(first, byte(1))) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if (!inside_sequence(bytes[at + i])) return 0;
  return length;
}

std::size_t find_bad_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = utf8_sequence(bytes, i);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

std::string printable(std::string_view bytes, std::size_t limit) {
  if (bytes.size() <= limit) return escape(bytes);
  std::size_t head = limit / 2, tail = bytes.size() - (limit - limit / 2);
  for (int i = 0; i < 3 && head > 0 && inside_sequence(bytes[head]); ++i) --head;  // cut between characters
  for (int i = 0; i < 3 && tail < bytes.size() && inside_sequence(bytes[tail]); ++i) ++tail;
  return escape(bytes.substr(0, head)) + "..." + escape(bytes.substr(tail));
}

}  // namespace sspo::io
