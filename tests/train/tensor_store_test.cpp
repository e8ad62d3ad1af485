// Rows made once, kept, found again; a run that stops between files goes on there; damage is named.
#include <filesystem>
#include <fstream>

#include "io/folder.hpp"
#include "sspo/train/self_samples.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

Tensor made(Index first, Index last) { return reshape(arange((last - first) * 2, double(2 * first)), {last - first, 2}); }

void overwrite_byte(const std::string& path, std::streamoff from_end) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-from_end, std::ios::end);
  const char c = char(file.get() ^ 1);
  file.seekp(-from_end, std::ios::end);
  file.put(c);
}

}  // namespace

TEST_CASE("tensor store: rows by number, in any order; nothing is made twice") {
  const TempFolder folder(TempFolder::in_memory);
  int calls = 0;
  const auto make = [&](Index first, Index last) { ++calls; return made(first, last); };
  TensorStore store(folder / "s", 7, {.shard = 3, .about = {{"weights", "abc"}}});
  CHECK(store.missing() == 7);
  CHECK(store.fill(make));
  CHECK(calls == 3);
  CHECK(store.missing() == 0);
  CHECK(numbers(store.rows({6, 0, 4, 4})) == std::vector<double>{12, 13, 0, 1, 8, 9, 8, 9});
  TensorStore again(folder / "s", 7, {.shard = 3, .about = {{"weights", "abc"}}, .keep_bytes = 8});
  CHECK(again.fill(make));
  CHECK(calls == 3);
  CHECK(numbers(again.rows({5, 1, 2})) == std::vector<double>{10, 11, 2, 3, 4, 5});
  check_error([&] { again.rows({7}); }, {"no such row", "0 to 6", "got       7"});
}

TEST_CASE("tensor store: a filling that is stopped goes on behind the last whole file") {
  const TempFolder folder(TempFolder::in_memory);
  Index calls = 0;
  const auto make = [&](Index first, Index last) { ++calls; return made(first, last); };
  TensorStore store(folder / "s", 8, {.shard = 2});
  CHECK_FALSE(store.fill(make, [](Index done) { return done < 4; }));
  CHECK(calls == 2);
  CHECK(store.missing() == 4);
  check_error([&] { store.rows({5}); }, {"000002.safetensors"});
  CHECK(TensorStore(folder / "s", 8, {.shard = 2}).fill(make));
  CHECK(calls == 4);
}

TEST_CASE("tensor store: made from something else, cut short: told and made again; a flipped bit is an error with its row") {
  const TempFolder folder(TempFolder::in_memory);
  std::string said;
  const auto say = [&](const std::string& line) { said += line + "\n"; };
  TensorStore(folder / "s", 4, {.shard = 2, .about = {{"weights", "abc"}}}).fill(made);
  TensorStore other(folder / "s", 4, {.shard = 2, .about = {{"weights", "xyz"}}});
  CHECK(other.fill(made, {}, say));
  CHECK(said.find("000000.safetensors: weights: made from something else (expected xyz, got abc); it is made again") != std::string::npos);
  said.clear();
  fs::resize_file(folder / "s/000001.safetensors", 40);
  CHECK(other.fill(made, {}, say));
  CHECK(said.find("000001.safetensors") != std::string::npos);
  overwrite_byte(folder / "s/000001.safetensors", 1);
  CHECK(other.missing() == 0);
  check_error([&] { other.rows({2, 3}); }, {"000001.safetensors: 3: the row is damaged", "remove the file"});
  check_error([&] { TensorStore(folder / "t", 2, {}).fill([](Index, Index) { return zeros({1, 2}); }); }, {"not the rows that were asked for", "2 rows"});
}

TEST_CASE("self-samples: a function of reference, prompt and path alone, whoever is beside them; the key tells all it depends on") {
  const Denoiser model = [](const Tensor& x, const Tensor& t, const Tensor& text) { return 0.5 * x + reshape(mean(text, {1, 2}), {-1, 1, 1, 1}) + 0.0 * reshape(t, {-1, 1, 1, 1}); };
  SchedulerConfig config = default_config(SchedulerKind::ddpm);
  config.clip_sample = false;
  const SelfSampling how{.scheduler = config, .steps = 4, .guidance = 2, .latent = {2, 2, 1}};
  const Tensor text = normal(Rng{3}, {3, 2, 2}), none = zeros({3, 2, 2});
  const std::vector<Index> ids = {5, 9, 2};
  int calls = 0;
  const Tensor all = self_sample(model, how, text, none, ids, Rng{1}, [&](Index) { ++calls; });
  CHECK(calls == 4);
  CHECK(all.shape() == Shape{3, 2, 2, 1});
  const std::vector<Index> one = {9};
  CHECK(same_bits(self_sample(model, how, slice(text, 0, 1, 2), slice(none, 0, 1, 2), one, Rng{1}), contiguous(slice(all, 0, 1, 2))));
  CHECK_FALSE(same_bits(self_sample(model, how, text, none, ids, Rng{2}), all));
  const Denoiser broken = [](const Tensor& x, const Tensor&, const Tensor&) { return log(-square(x) - 1.0); };
  check_error([&] { self_sample(broken, how, text, none, ids, Rng{1}); }, {"self-sampling: latents are not finite", "prompt 5"});

  const std::string key = key_of(about_of(how, 2, Rng{1}, "ref", "prompts"));
  CHECK(key.size() == 16);
  SelfSampling other = how;
  other.guidance = 3;
  for (const io::Metadata& m : {about_of(other, 2, Rng{1}, "ref", "prompts"), about_of(how, 3, Rng{1}, "ref", "prompts"), about_of(how, 2, Rng{2}, "ref", "prompts"),
                                about_of(how, 2, Rng{1}, "ref2", "prompts"), about_of(how, 2, Rng{1}, "ref", "other")})
    CHECK(key_of(m) != key);
  CHECK(key_of(about_of(how, 2, Rng{1}, "ref", "prompts")) == key);
}
