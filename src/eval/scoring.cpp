#include "sspo/eval/scoring.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <system_error>

#include "io/calls.hpp"
#include "io/json.hpp"

namespace sspo {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t(1) << 30;

[[noreturn]] void io_error(const std::string& path, int reason) {
  fail({.op = io::printable(path, 4096), .what = "cannot be written: " + std::generic_category().message(reason), .kind = ErrorKind::io}, Site{});
}

struct Entry {
  Score score;
  std::string bad;  // "": scored
};

// A scorer's rows on disk. What stands behind the last whole one goes: it is made again.
class Rows {
 public:
  Rows(const std::string& folder, const std::string& name, std::size_t most) : path_(folder + "/scores/" + name + ".jsonl"), most_(most) {
    std::error_code none;
    if (std::filesystem::exists(path_, none)) read(io::File(path_).text(most_bytes));
  }
  Rows(const Rows&) = delete;
  ~Rows() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  const std::string& full_name() const { return full_name_; }
  const std::vector<Entry>& entries() const { return entries_; }
  bool complete() const { return entries_.size() == most_; }

  // Rows of whole batches stay. Error{file}: there are some of other weights, or other batches.
  void open_for(const std::string& full_name, Index batch) {
    const auto other = [&](const char* field, const std::string& there, const std::string& here) {
      io::bad_file({.path = path_, .field = field}, "the folder holds scores of another evaluation", here, there, "choose another --out");
    };
    if (!full_name_.empty() && full_name_ != full_name) other("scorer", full_name_, full_name);
    if (!full_name_.empty() && batch_ != batch) other("batch", std::to_string(batch_), std::to_string(batch));
    if (complete()) return;
    entries_.resize(entries_.size() / std::size_t(batch) * std::size_t(batch));
    const bool begins = full_name_.empty();
    descriptor_ = io::faulty("open", [&] { return open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666); });
    if (descriptor_ < 0 || ftruncate(descriptor_, begins ? 0 : off_t(ends_[entries_.size()])) != 0 || lseek(descriptor_, 0, SEEK_END) < 0) io_error(path_, errno);
    full_name_ = full_name, batch_ = batch;
    if (begins) write(io::Json{{"scorer", full_name}, {"batch", batch}}.dump() + "\n");
  }
  void add(const std::vector<Entry>& some) {
    std::string lines;
    for (const Entry& e : some) {
      io::Json row = {{"n", entries_.size()}};
      if (e.bad.empty()) row["raw"] = e.score.raw, row["value"] = e.score.value;
      else row["bad"] = e.bad;
      lines += row.dump() + "\n";
      entries_.push_back(e);
    }
    write(lines);
  }
  void sync() const {
    if (descriptor_ >= 0 && io::faulty("fsync", [&] { return fsync(descriptor_); }) != 0) io_error(path_, errno);
  }

 private:
  void write(std::string_view bytes) const {
    if (const int reason = io::append_all(descriptor_, bytes)) io_error(path_, reason);
  }

  void read(std::string_view text) {
    std::size_t at = 0;
    for (std::size_t end; (end = text.find('\n', at)) != text.npos && entries_.size() < most_; at = end + 1) {
      try {
        if (!take(text.substr(at, end - at))) return;
      } catch (const Error&) {
        return;
      }
      ends_.push_back(end + 1);  // of the head, then of each row
    }
  }
  bool take(std::string_view line) {
    const io::Place place{.path = path_};
    const io::Json json = io::parse_json(line, place, 4);
    io::Fields f(json, place);
    if (full_name_.empty()) {
      full_name_ = f.text("scorer"), batch_ = f.integer("batch", 1, 1'000'000'000);
      return !full_name_.empty();
    }
    if (f.integer("n", 0, 1'000'000'000) != Index(entries_.size())) return false;
    const std::string bad = f.text("bad", "");
    entries_.push_back({bad.empty() ? Score{f.number("raw", -1e300, 1e300), f.number("value", -1e300, 1e300)} : Score{}, bad});
    return true;
  }

  std::string path_, full_name_;
  Index batch_ = 0;
  std::size_t most_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> ends_;  // bytes
  int descriptor_ = -1;
};

std::string list_of(const std::vector<Scorer>& scorers) {
  std::string all;
  for (const Scorer& s : scorers) all += (all.empty() ? "" : ", ") + s.name;
  return all;
}

class Scoring {
 public:
  Scoring(std::span<const PromptPicture> pictures, const Function<io::Image(Index)>& read, const ScoringOptions& options) : pictures_(pictures), read_(read), o_(options) {}

  void known_bad(const Rows& rows) {
    for (std::size_t i = 0; i < rows.entries().size(); ++i)
      if (!rows.entries()[i].bad.empty()) bad_.insert(i);
  }

  // All pictures, a batch at a time; a scorer that has rows of a batch already sits it out.
  void pass(const std::vector<Scorer>& scorers, const std::vector<Rows*>& rows) {
    std::size_t first = pictures_.size();
    for (const Rows* r : rows) first = std::min(first, r->entries().size());
    for (; first < pictures_.size(); first += std::size_t(o_.batch)) {
      const std::size_t last = std::min(pictures_.size(), first + std::size_t(o_.batch));
      std::vector<Entry> batch(last - first);
      std::vector<io::Image> images;
      std::vector<std::string> prompts;
      std::vector<std::size_t> which;
      for (std::size_t i = first; i < last; ++i)
        if (std::optional<io::Image> image = picture(i, batch[i - first].bad)) images.push_back(std::move(*image)), prompts.push_back(pictures_[i].text), which.push_back(i);
      for (std::size_t s = 0; s < scorers.size(); ++s) {
        if (rows[s]->entries().size() > first) continue;
        if (!images.empty()) score(scorers[s], images, prompts, which, first, batch);
        rows[s]->add(batch);
      }
      if (o_.progress) o_.progress(Index(last), Index(pictures_.size()), list_of(scorers));
    }
    for (const Rows* r : rows) r->sync();
  }

 private:
  std::optional<io::Image> picture(std::size_t i, std::string& bad) {
    try {
      return read_(Index(i));
    } catch (const Error& e) {
      if (!bad_.count(i) && Index(bad_.size()) >= o_.skip_bad) throw;
      if (bad_.insert(i).second && o_.say) o_.say(std::string("passed over: ") + e.what());
      bad = io::printable(e.what(), 4096);
      return {};
    }
  }

  [[noreturn]] void not_finite(const Scorer& scorer, std::size_t picture) const {
    fail({.op = io::printable(pictures_[picture].picture, 4096), .what = "the score of " + scorer.full_name() + " is not finite", .expected = "a number", .got = "NaN or infinite",
          .hint = "its weights may hold NaN, or the type be too small: try --dtype f32", .kind = ErrorKind::file}, Site{});
  }

  // A scorer may say itself that a number is not finite, or that a picture is none for it; of which picture, each alone tells.
  std::vector<Score> scores_of(const Scorer& scorer, const std::vector<io::Image>& images, const std::vector<std::string>& prompts, const std::vector<std::size_t>& which) const {
    const auto told = [](const Error& e) { return e.info().kind == ErrorKind::non_finite || e.info().kind == ErrorKind::input; };
    try {
      return scorer.score(images, prompts);
    } catch (const Error& e) {
      if (!told(e)) throw;
      for (std::size_t i = 0; i < images.size(); ++i) alone(scorer, images[i], prompts[i], pictures_[which[i]].picture, told);
      throw;
    }
  }
  template <class F>
  static void alone(const Scorer& scorer, const io::Image& image, const std::string& prompt, const std::string& picture, F told) {
    try {
      scorer.score({&image, 1}, {&prompt, 1});
    } catch (const Error& e) {
      if (!told(e)) throw;
      ErrorInfo info = e.info();
      if (info.kind == ErrorKind::non_finite) info.got.clear();  // "picture 0 of 1"
      info.op = io::printable(picture, 4096), info.what = scorer.full_name() + ": " + info.what, info.kind = ErrorKind::file;
      fail(info, Site{});
    }
  }

  void score(const Scorer& scorer, const std::vector<io::Image>& images, const std::vector<std::string>& prompts, const std::vector<std::size_t>& which, std::size_t first,
             std::vector<Entry>& batch) const {
    const std::vector<Score> scores = scores_of(scorer, images, prompts, which);
    if (scores.size() != images.size()) fail({.op = scorer.full_name(), .what = "a score is missing", .expected = std::to_string(images.size()), .got = std::to_string(scores.size()), .kind = ErrorKind::internal});
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (!std::isfinite(scores[i].raw) || !std::isfinite(scores[i].value)) not_finite(scorer, which[i]);
      batch[which[i] - first].score = scores[i];
    }
  }

  std::span<const PromptPicture> pictures_;
  const Function<io::Image(Index)>& read_;
  const ScoringOptions& o_;
  std::set<std::size_t> bad_;
};

using AllRows = std::vector<std::unique_ptr<Rows>>;

AllRows rows_of(const std::string& folder, std::size_t pictures, std::span<const NamedScorer> scorers) {
  AllRows all;
  for (const NamedScorer& s : scorers) {
    io::check_plain_name(s.name, {.path = "--scorers"});
    all.push_back(std::make_unique<Rows>(folder, s.name, pictures));
  }
  return all;
}

ScoreTable table_of(std::span<const PromptPicture> pictures, const AllRows& rows) {
  std::size_t count = pictures.size();
  for (const auto& r : rows) count = std::min(count, r->entries().size());
  ScoreTable t{.pictures = {pictures.begin(), pictures.begin() + std::ptrdiff_t(count)}, .scorers = {}, .scores = {}, .bad = std::vector<std::string>(count)};
  for (const auto& r : rows) {
    t.scorers.push_back(r->full_name());
    std::vector<Score>& column = t.scores.emplace_back();
    for (std::size_t i = 0; i < count; ++i) {
      column.push_back(r->entries()[i].score);
      if (t.bad[i].empty()) t.bad[i] = r->entries()[i].bad;
    }
  }
  return t;
}

}  // namespace

ScoreTable score_pictures(const std::string& folder, std::span<const PromptPicture> pictures, const Function<io::Image(Index)>& read, std::span<const NamedScorer> scorers,
                          const ScoringOptions& o) {
  if (o.batch < 1) fail({.op = "score_pictures", .what = "no batch", .expected = "1 or more", .got = std::to_string(o.batch)});
  if (const std::error_code error = io::make_folders(folder + "/scores")) io_error(folder + "/scores", error.value());
  const AllRows rows = rows_of(folder, pictures.size(), scorers);
  Scoring scoring(pictures, read, o);
  for (const auto& r : rows) scoring.known_bad(*r);
  for (std::size_t next = 0; next < scorers.size();) {
    std::vector<Scorer> group;
    std::vector<Rows*> theirs;
    std::uint64_t held = 0;
    for (; next < scorers.size(); ++next) {
      if (rows[next]->complete()) continue;
      if (!group.empty() && held + scorers[next].bytes > o.budget) break;
      Scorer scorer = scorers[next].load();
      if (o.budget && scorer.bytes > o.budget)
        fail({.op = "--max-memory", .what = "the weights of " + scorer.full_name() + " take more", .expected = std::to_string(scorer.bytes) + " bytes or more", .got = std::to_string(o.budget)}, Site{});
      if (!group.empty() && held + scorer.bytes > o.budget) break;  // more than its files told: it goes, and has a pass of its own
      rows[next]->open_for(scorer.full_name(), o.batch);
      held += scorer.bytes;
      group.push_back(std::move(scorer)), theirs.push_back(rows[next].get());
    }
    if (!group.empty()) scoring.pass(group, theirs);
  }
  return table_of(pictures, rows);
}

ScoreTable finished_scores(const std::string& folder, std::span<const PromptPicture> pictures, std::span<const NamedScorer> scorers) {
  return table_of(pictures, rows_of(folder, pictures.size(), scorers));
}

}  // namespace sspo
