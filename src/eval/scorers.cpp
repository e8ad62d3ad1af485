#include <array>
#include <cmath>

#include "eval/scorer_kinds.hpp"
#include "eval/scorers_clip.hpp"

namespace sspo {
namespace {

constexpr std::array kinds = {
    ScorerKind{"pickscore", "v1", "how well the picture fits its prompt, by a CLIP tuned on people's choices (Kirstain et al. 2023); value = exp(logit_scale) cosine, about 15 to 25",
               "a folder with config.json and model.safetensors (or pytorch_model.bin) of yuvalkirstain/PickScore_v1, and vocab.json and merges.txt (or tokenizer.json) of laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
               [](const std::string& path, const ScorerOptions& o) { return load_clip_scorer(pickscore, path, o); }},
    ScorerKind{"hpsv2.0", "v2.0", "how much people prefer the picture for its prompt (Wu et al. 2023), first weights; value = 100 cosine, about 20 to 30",
               "HPS_v2_compressed.pt of xswu/HPSv2, or its folder; beside it vocab.json and merges.txt of openai/clip-vit-large-patch14. Versions are told apart by that name alone: their shapes are one",
               [](const std::string& path, const ScorerOptions& o) { return load_clip_scorer(hpsv2_0, path, o); }},
    ScorerKind{"hpsv2.1", "v2.1", "the same, weights of 2024; not comparable with 2.0; value = 100 cosine, about 20 to 35",
               "HPS_v2.1_compressed.pt of xswu/HPSv2, or its folder; beside it vocab.json and merges.txt of openai/clip-vit-large-patch14. Versions are told apart by that name alone: their shapes are one",
               [](const std::string& path, const ScorerOptions& o) { return load_clip_scorer(hpsv2_1, path, o); }},
    ScorerKind{"clipscore", "by the weights' shape, vit-b-32", "how well the picture fits its prompt, by an untuned CLIP; value = max(100 cosine, 0) as torchmetrics' clip_score (Hessel et al. 2021: 2.5 max(cosine, 0))",
               "a folder with config.json, model.safetensors (or pytorch_model.bin), vocab.json and merges.txt of openai/clip-vit-base-patch32, or of another CLIP",
               [](const std::string& path, const ScorerOptions& o) { return load_clip_scorer(clipscore, path, o); }},
    ScorerKind{"aesthetic", "v2", "how beautiful the picture is, whatever its prompt, by LAION's head on CLIP ViT-L/14; value = the head's output, 1 to 10",
               "a folder with config.json and model.safetensors (or pytorch_model.bin) of openai/clip-vit-large-patch14, and sac+logos+ava1-l14-linearMSE.pth of christophschuhmann/improved-aesthetic-predictor",
               [](const std::string& path, const ScorerOptions& o) { return load_aesthetic(path, o); }},
    ScorerKind{"imagereward", "v1.0", "how people would rate the picture for its prompt; deviations from the mean, by BLIP",
       "a folder with ImageReward.pt and med_config.json (huggingface.co/THUDM/ImageReward) and vocab.txt (huggingface.co/google-bert/bert-base-uncased)", load_image_reward},
};

std::string names() {
  std::string all;
  for (const ScorerKind& k : scorer_kinds()) all += (all.empty() ? "" : ", ") + std::string(k.name);
  return all;
}

// A score for each picture, and a number: or one Error that says which.
Scorer checked(Scorer scorer) {
  scorer.score = [inner = scorer.score, name = scorer.full_name()](std::span<const io::Image> pictures, std::span<const std::string> prompts) {
    if (pictures.size() != prompts.size())
      fail({.op = name, .what = "each picture has a prompt", .expected = std::to_string(pictures.size()) + " prompts", .got = std::to_string(prompts.size())}, Site{});
    if (pictures.empty()) return std::vector<Score>{};
    std::vector<Score> scores = inner(pictures, prompts);
    for (std::size_t i = 0; i < scores.size(); ++i)
      if (!std::isfinite(scores[i].raw) || !std::isfinite(scores[i].value))
        fail({.op = name, .what = "the score is not finite", .got = "picture " + std::to_string(i) + " of " + std::to_string(scores.size()) + ", prompt '" + io::printable(prompts[i]) + "'", .kind = ErrorKind::non_finite}, Site{});
    return scores;
  };
  return scorer;
}

}  // namespace

std::span<const ScorerKind> scorer_kinds() { return kinds; }

Scorer load_scorer(std::string_view name, const std::string& path, const ScorerOptions& options, Site at) {
  for (const ScorerKind& k : scorer_kinds())
    if (k.name == name) return checked(k.load(path, options));
  fail({.op = "load_scorer", .what = "no scorer of this name", .expected = "one of " + names(), .got = io::printable(name)}, at);
}

}  // namespace sspo
