// Training the judge of pictures (sspo/eval/judge.hpp): styles told apart, captions matched with pictures.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/train_tasks.hpp"
#include "sspo/ops/loss.hpp"

namespace sspo::cli {
namespace {

std::string name_of(const io::Row& row) { return std::string(row.field("name").empty() ? std::string_view(row.text) : row.field("name")); }

// A split of the data set in memory: pictures are small here, and each is looked at many times.
struct Split {
  std::vector<io::Image> real, seen;  // as they are, and through the autoencoder; the second may be empty
  std::vector<Index> styles, names;   // of each picture: in the judge's order; in `texts`
  std::vector<std::string> texts;     // a caption for each name
  Index size() const { return Index(real.size()); }
};

Split read_split(const TrainContext& c, const TrainData& data, const std::string& cache) {
  Split s;
  std::map<std::string, Index> known;
  const std::vector<std::string>& styles = c.model.judge.config.styles;
  for (Index i = 0; i < data.size(); ++i) {
    const io::Row& row = data.rows[std::size_t(i)];
    const auto style = std::find(styles.begin(), styles.end(), row.field("style"));
    if (style == styles.end())
      c.recipe.wrong("data.path", "a row without a style that training knows: line " + std::to_string(row.line), "the field style in each row", std::string(row.field("style")));
    s.real.push_back(data.picture(i, c.model.side));
    s.styles.push_back(style - styles.begin());
    const auto [at, fresh] = known.emplace(name_of(row), Index(s.texts.size()));
    if (fresh) s.texts.push_back(row.text);
    s.names.push_back(at->second);
    c.watchdog.beat("reading pictures");
  }
  if (!c.model.vae.there()) return s;
  const auto store = through_vae(c, data, cache);
  for (Index first = 0; first < s.size(); first += 64) {
    std::vector<Index> some;
    for (Index i = first; i < std::min(first + 64, s.size()); ++i) some.push_back(i);
    for (io::Image& image : io::to_images(store->rows(some))) s.seen.push_back(std::move(image));
  }
  return s;
}

// Moved by dx, dy pixels; what comes in repeats the edge.
io::Image shifted(const io::Image& image, Index dx, Index dy) {
  io::Image result = io::make_image(image.width, image.height);
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x)
      std::copy_n(image.at(std::clamp<Index>(x - dx, 0, image.width - 1), std::clamp<Index>(y - dy, 0, image.height - 1)), 3, result.at(x, y));
  return result;
}

struct Scores {
  double style = 0, r1 = 0, r5 = 0;  // shares of pictures: style told; its caption among all of the split's is the first; among the first five
};

constexpr Index tested_at_once = 48;  // parameters are tracked here, too: fewer than a step takes

Scores scores_of(const TrainContext& c, const Judge& net, const Split& s, const std::vector<io::Image>& pictures, const Tensor& captions) {
  Scores sum;
  for (Index first = 0; first < s.size(); first += tested_at_once) {
    const Index last = std::min(first + tested_at_once, s.size());
    const Tensor x = io::to_tensor({pictures.begin() + first, pictures.begin() + last}, c.device);
    const std::vector<std::int64_t> styles = argmax(net.style(x), -1).to_vector<std::int64_t>();
    const std::vector<Index> above = ranks(matmul(net.embed(net.features(x)), transpose(captions)), std::span(s.names).subspan(std::size_t(first), std::size_t(last - first)));
    for (std::size_t i = 0; i < styles.size(); ++i) {
      sum.style += styles[i] == s.styles[std::size_t(first) + i];
      sum.r1 += above[i] < 1, sum.r5 += above[i] < 5;
    }
    c.watchdog.beat("testing the judge");
  }
  const double n = double(s.size());
  return {sum.style / n, sum.r1 / n, sum.r5 / n};
}

Tensor captions_of(const TrainContext& c, const Judge& net, const Split& s) {
  return net.text(caption_tokens(*c.model.tokenizer, s.texts, net.config().max_tokens, c.device));
}

// L = style · H(style | x) + caption · contrast(x, caption), on real pictures and such seen through the autoencoder
class Judging {
 public:
  explicit Judging(const TrainContext& c)
      : c_(c), batch_(c.recipe.integer("train.batch")), batches_(c.data.size(), {.batch = batch_}, c.rng() / "data"), train_(read_split(c, c.data, "seen")) {
    io::BadSamples bad(c.recipe.integer("data.skip_bad"));
    const io::Dataset all = io::open_dataset(c.recipe.text("data.path"), bad);
    const Where held_out = where_of(c.recipe, "judge.held_out");
    if (std::any_of(all.rows.begin(), all.rows.end(), [&](const io::Row& row) { return held_out.holds(row); }))
      held_out_ = read_split(c, open_train_data(c.recipe, c.say, {.where = "judge.held_out"}), "held-out-seen");
  }

  StepResult gradients(Index step) const {
    const Judge& net = *c_.model.judge.model;
    const Index shift = c_.recipe.integer("judge.shift");
    const double seen = train_.seen.empty() ? 0 : c_.recipe.number("judge.through_vae"), keyword = c_.recipe.number("data.keyword");
    std::vector<io::Image> pictures;
    std::vector<std::string> captions;
    std::vector<std::int64_t> styles;
    std::vector<Index> names;
    for (const Pick& p : batches_.at(step)) {
      const std::size_t i = std::size_t(p.sample);
      const auto moved = [&](const char* axis) { return (p.rng / axis).below(2 * shift + 1) - shift; };
      const bool through = uniform(p.rng / "through", {1}).item<float>() < float(seen);
      pictures.push_back(shifted(through ? train_.seen[i] : train_.real[i], moved("x"), moved("y")));
      captions.push_back(with_keyword(c_.data, p, keyword));
      styles.push_back(train_.styles[i]);
      names.push_back(train_.names[i]);
    }
    const Tensor x = io::to_tensor(pictures, c_.device);                                              // [B, H, W, 3]
    const Tensor logits = net.style(x), targets = Tensor::from(styles, {batch_}, c_.device);
    const Tensor style = cross_entropy(logits, targets);
    const Tensor a = net.embed(net.features(x)), b = net.text(caption_tokens(*c_.model.tokenizer, captions, net.config().max_tokens, c_.device));
    const Tensor caption = contrast(a, b, net.scale(), names);
    const Tensor loss = c_.recipe.number("judge.style") * style + c_.recipe.number("judge.caption") * caption;
    StepResult result;
    backward(loss, result.gradients);
    const auto number = [](const Tensor& t) { return cast(detach(t), DType::f64).item<double>(); };
    const std::vector<std::int64_t> told = argmax(detach(logits), -1).to_vector<std::int64_t>();
    double right = 0;
    for (std::size_t i = 0; i < told.size(); ++i) right += told[i] == styles[i];
    result.loss = number(loss);
    result.metrics = {{"style", number(style)}, {"caption", number(caption)}, {"scale", number(net.scale())}, {"style_accuracy", right / double(batch_)}};
    const Index every = c_.recipe.integer("judge.test_every");
    if (held_out_ && every && (step + 1) % every == 0) {  // the judge as it was before this step's update
      const Scores s = scores_of(c_, net, *held_out_, held_out_->real, captions_of(c_, net, *held_out_));
      result.metrics.insert(result.metrics.end(), {{"held_out_style", s.style}, {"held_out_r1", s.r1}, {"held_out_r5", s.r5}});
    }
    return result;
  }

  std::string describe(Index step) const { return samples_json(batches_.at(step), c_.data); }

  // {"train": {"n", "names", "real": {"style", "r1", "r5"}, "through_vae": ...}, "held_out": ...}
  io::Json test(const Judge& net) const {
    io::Json json;
    const auto add = [&](const char* name, const Split& s) {
      const Tensor captions = captions_of(c_, net, s);
      const auto scores = [&](const std::vector<io::Image>& pictures) {
        const Scores x = scores_of(c_, net, s, pictures, captions);
        return io::Json{{"style", x.style}, {"r1", x.r1}, {"r5", x.r5}};
      };
      json[name] = {{"n", s.size()}, {"names", s.texts.size()}, {"real", scores(s.real)}};
      if (!s.seen.empty()) json[name]["through_vae"] = scores(s.seen);
    };
    add("train", train_);
    if (held_out_) add("held_out", *held_out_);
    return json;
  }

 private:
  const TrainContext& c_;
  Index batch_;
  Batches batches_;
  Split train_;
  std::optional<Split> held_out_;
};

}  // namespace

Task judge_task(const TrainContext& c) {
  const auto j = std::make_shared<Judging>(c);
  return {.steps = c.recipe.integer("train.steps"), .batch = c.recipe.integer("train.batch"), .gradients = [j](Index step) { return j->gradients(step); },
          .describe = [j](Index step) { return j->describe(step); }};
}

void test_judge(const TrainContext& c, const Params& result) {
  Params numbers = result.snapshot();
  const Judge net(numbers.frozen() / "judge", c.model.judge.config);
  const io::Json json = Judging(c).test(net);
  io::write_file(c.run / "held_out.json", json.dump(2) + "\n");
  for (const auto& [name, split] : json.items())
    for (const char* how : {"real", "through_vae"})
      if (split.contains(how))
        c.say(fmt::format("{:<9} {:<11} style {:.3f}   R@1 {:.3f}   R@5 {:.3f}   of {} pictures, {} names", name, how, split[how]["style"].get<double>(), split[how]["r1"].get<double>(),
                          split[how]["r5"].get<double>(), split["n"].get<Index>(), split["names"].get<Index>()));
}

}  // namespace sspo::cli
