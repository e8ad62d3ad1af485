// What the verbs leave on disk.
#pragma once
#include <filesystem>
#include <string>

#include "sspo/io/image.hpp"

namespace sspo::cli {

// Asked before the work: an output that is there already is replaced only with `force`, else Error (file); its folder must
// exist, else Error (io).
void check_output(const std::string& path, bool force);
// Makes the folder. Throws Error (input) if it has content and `force` is false, or is no folder.
void make_output_folder(const std::filesystem::path& folder, bool force);

}  // namespace sspo::cli
