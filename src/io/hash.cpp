#include "sspo/io/hash.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <vector>

namespace sspo::io {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

namespace {
void must(int ok) {
  if (!ok) fail({.op = "sha256", .what = "the hash library failed", .kind = ErrorKind::internal}, Site{});
}
}  // namespace

Sha256::Sha256() : state_(std::make_unique<State>()) { must(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr)); }
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) { must(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size())); }

void Sha256::add(const File& file) {
  std::vector<char> piece(std::size_t(std::min<std::uint64_t>(file.size(), 4u << 20)));
  for (std::uint64_t at = 0; at < file.size(); at += piece.size()) {
    const std::size_t n = std::size_t(std::min<std::uint64_t>(piece.size(), file.size() - at));
    file.read(at, piece.data(), n);
    add(std::string_view(piece.data(), n));
  }
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest;
  must(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr));
  std::string text;
  for (const unsigned char byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace sspo::io
