// In place of the folder's other files where the program is built without FreeType, HarfBuzz and pugixml.
#include "cli/data.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cli {

void data_emoji(const DataEmojiOptions&) {
  fail({.op = "data emoji", .what = "this program was built without it", .hint = "configure with -DSSPO_EMOJI=ON; needed are libfreetype-dev, libharfbuzz-dev, libpugixml-dev",
        .kind = ErrorKind::file}, Site{});
}

}  // namespace sspo::cli
