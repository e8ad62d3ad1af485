// demo.json: what a demo was asked, and which of its stages are done, in how much time.
#pragma once
#include <string>

#include "io/json.hpp"

namespace sspo::cli {

// Error{input}: the folder holds something, and no demo.
void require_demo_or_nothing(const std::string& folder);

class DemoRecord {
 public:
  // Opens FOLDER/demo.json, or begins it. Error{input}: it is of other options.
  DemoRecord(std::string folder, const io::Json& options);

  bool done(const std::string& stage) const;
  // Time counts in whatever pieces it was spent; each call is on disk when it returns.
  void spent(const std::string& stage, double seconds, std::size_t peak_bytes, bool done);
  void set(const char* key, const io::Json& value);
  const io::Json& json() const { return json_; }

 private:
  io::Json* find(const std::string& stage);
  void write() const;
  std::string path_;
  io::Json json_;
};

}  // namespace sspo::cli
