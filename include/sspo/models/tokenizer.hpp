// CLIP's tokenizer: byte-pair encoding of prompts with the files of a diffusers `tokenizer` folder.
//   const ClipTokenizer tokenizer = ClipTokenizer::open("model/tokenizer");
//   std::vector<std::int32_t> ids = tokenizer.padded("a red fox");       // 77 ids: start, words, end, padding
// Any bytes are a prompt: each broken piece of UTF-8 reads as U+FFFD, as Python's decode(errors="replace") has it.
// Time is n log n in the prompt's length, also for one long word.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sspo {
namespace clip {
struct Tables;
}

// hf:      the ids of transformers 5's CLIPTokenizer (4's fast one, too): NFC, white space to one blank, lower case.
// openai:  the ids of OpenAI's CLIP without the Python package ftfy: HTML entities undone twice, Python's lower case, no NFC.
// ftfy:    with it, as OpenCLIP and HPSv2 have it: curly quotes, ligatures, full-width letters made plain, NFC; but for mojibake
//          (text once decoded by the wrong table), which stays.
// Letters and numbers are what libutf8proc's Unicode version says; the reference wheels may know a newer one.
enum class ClipFlavour { hf, openai, ftfy };

struct ClipTokenizerOptions {
  ClipFlavour flavour = ClipFlavour::hf;
};

// The bytes of the files. vocab.json is one object, token to id; merges.txt one pair a line, the first line may be a
// "#version" comment. The others are optional: the special tokens' names (default <|startoftext|>, <|endoftext|> for
// start, end, unknown and padding), tokens that are found in the text as they stand, and model_max_length.
// special_tokens_map.json and added_tokens.json are not read if the config has `added_tokens_decoder`, as in transformers.
struct ClipTokenizerFiles {
  std::string vocab, merges;
  std::optional<std::string> config, specials, added;  // tokenizer_config.json, special_tokens_map.json, added_tokens.json
};

class ClipTokenizer {
 public:
  // Throws Error (file or io) naming file and line: ids not 0, 1, 2, ...; one of the 256 bytes missing, plain or with
  // "</w>"; a special token unknown; a merge of unknown parts, into an unknown token, or given twice; more than 2^20
  // tokens or merges, 10,000 added tokens; vocab.json or merges.txt above 64 MiB.
  static ClipTokenizer open(const std::string& folder, ClipTokenizerOptions options = {});
  static ClipTokenizer parse(const ClipTokenizerFiles& files, const std::string& folder, ClipTokenizerOptions options = {});

  std::vector<std::int32_t> encode(std::string_view text) const;  // with start and end, unpadded; text <= 512 MiB
  // What diffusers hands to the text encoder: cut to start + (length - 2) + end, or filled up with pad(). length >= 2.
  std::vector<std::int32_t> padded(std::string_view text, int length) const;
  std::vector<std::int32_t> padded(std::string_view text) const { return padded(text, max_length()); }
  // The text again, in lower case and with a blank behind each word; special tokens by name. Error: an id out of range.
  std::string decode(std::span<const std::int32_t> ids) const;

  std::int32_t size() const;  // ids are 0 .. size() - 1
  std::int32_t start() const;
  std::int32_t end() const;
  std::int32_t pad() const;
  int max_length() const;  // model_max_length; 77, CLIP's, where the files give none or transformers' "no limit"
  const std::string& token(std::int32_t id) const;  // as vocab.json spells it. Error: an id out of range

  ClipTokenizerFiles files() const;             // parse(files()) is this tokenizer again
  void save(const std::string& folder) const;   // into a folder that exists; loads in transformers. Error (io)

 private:
  explicit ClipTokenizer(std::shared_ptr<const clip::Tables> tables) : tables_(std::move(tables)) {}
  std::shared_ptr<const clip::Tables> tables_;  // shared by copies, never changed
};

}  // namespace sspo
