// What the verbs leave on disk.
#pragma once
#include <filesystem>
#include <string>

#include "io/json.hpp"
#include "sspo/io/image.hpp"

namespace sspo::cli {

// Asked before the work: an output that is there already is replaced only with `force`, else Error (file); its folder must
// exist, else Error (io).
void check_output(const std::string& path, bool force);
// Makes the folder. Throws Error (input) if it has content and `force` is false, or is no folder.
void make_output_folder(const std::filesystem::path& folder, bool force);

// What a folder's content is a function of, in `path`: written once, then held against it. Error{file}: another value, by its field.
void keep_settings(const std::string& path, const io::Json& settings);

}  // namespace sspo::cli
