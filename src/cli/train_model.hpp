// The parts of a model in training: each loaded from a pipeline folder, or new from the recipe's section; trained, or frozen.
#pragma once
#include <optional>
#include <string>

#include "cli/recipe.hpp"
#include "cli/train_data.hpp"
#include "sspo/eval/judge.hpp"
#include "sspo/io/manifest.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/nn/lora.hpp"

namespace sspo::cli {

template <class Model>
struct Part {
  typename Model::Config config = {};
  std::string json = {};                // config.json
  std::optional<Model> model = {};
  std::optional<Params> frozen = {};    // its numbers; else they are in TrainModel::trained, under the part's name
  bool there() const { return model.has_value(); }
};

struct TrainModel {
  Params trained;                  // f32 masters: "unet.conv_in.weight", "text_encoder....", "vae...."
  DType dtype;                     // in which they compute
  std::optional<ClipTokenizer> tokenizer = {};
  SchedulerConfig scheduler = {};
  Part<ClipText> text_encoder = {};
  Part<UNet> unet = {};
  Part<Autoencoder> vae = {};
  Part<Judge> judge = {};
  std::string digest = {};         // of the weights that training starts from
  std::optional<nn::LoraOptions> lora = {};  // then the UNet's weights are frozen, and `trained` holds unet.MODULE.lora_A.weight, lora_B
  Index side = 0;                  // of pictures, in pixels
  Shape latent = {};               // [h, w, C] of one
};

// Error{file}: a part is missing, damaged, or does not fit the others. read_weights = false, for plans: a part's numbers are new ones
// wherever they would come from; its files are not opened, and there is no digest of them.
TrainModel make_train_model(const Recipe& recipe, const TrainData& data, const Device& device, bool read_weights = true);

// The numbers of a trained part under the names of its checkpoint; `from`: TrainModel::trained, or an average of it.
std::vector<io::NamedTensor> part_weights(const Params& from, const std::string& part);

// A folder that diffusers loads: StableDiffusionPipeline, or the parts there are. Whole or not there; `from` as above. Of a model with
// adapters they are merged into the weights: those of the folder `adapters`, see train_policy.hpp.
void export_model(const TrainModel& model, const Params& from, const std::string& folder, const io::Manifest::About& about, const std::string& adapters = {});

}  // namespace sspo::cli
