// The program sspo: verbs over the library. stdout is data, stderr is talk, an error is one line of it.
// Exit codes: 0 done, 64 wrong usage, 65 bad input, 70 internal error, 74 input/output, 75 locked, 76 not finite, 128 + n signal n.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <system_error>

#include "cli/signals.hpp"
#include "cli/verbs.hpp"
#include "sspo/base/config.hpp"
#include "sspo/io/file.hpp"

namespace sspo::cli {
namespace {

enum Exit { done = 0, usage = 64, bad_input = 65, internal = 70, io_error = 74, locked = 75, non_finite = 76 };

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::input:
    case ErrorKind::file: return bad_input;
    case ErrorKind::io: return io_error;
    case ErrorKind::non_finite: return non_finite;
    case ErrorKind::locked: return locked;
    default: return internal;
  }
}

int complain(int code, std::string_view what) {
  fmt::print(stderr, "error: {}\n", io::printable(what, 1u << 20));
  return code;
}

// "matmul: what (expected E, got G); hint": the engine's errors for programmers have a line for each.
std::string one_line(const ErrorInfo& e) {
  std::string text = e.op.empty() ? e.what : e.op + ": " + e.what;
  if (!e.expected.empty() || !e.got.empty())
    text += fmt::format(" ({}{}{}{}{})", e.expected.empty() ? "" : "expected ", e.expected, e.expected.empty() || e.got.empty() ? "" : ", ", e.got.empty() ? "" : "got ", e.got);
  return e.hint.empty() ? text : text + "; " + e.hint;
}

// "sspo inspect schedule": the verb whose help would have told.
std::string asked_for(const CLI::App& app) {
  std::string words = app.get_name();
  for (const CLI::App* verb = &app; !verb->get_subcommands().empty();) {
    verb = verb->get_subcommands().front();
    if (verb->get_name().empty()) break;  // a group of options
    words += " " + verb->get_name();
  }
  return words;
}

int flushed() { return std::fflush(stdout) == 0 ? done : complain(io_error, "stdout: cannot be written"); }

int run(int argc, char** argv) {
  CLI::App app{"sspo: tensors, reverse-mode autodiff and diffusion models in C++20", "sspo"};
  app.set_version_flag("--version", fmt::format("sspo {}.{}.{}", version_major, version_minor, version_patch));
  add_verbs(app);
  catch_signals();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) return complain(usage, fmt::format("{}; see {} --help", e.what(), asked_for(app)));
    app.exit(e);  // help or version, on stdout
  }
  return flushed();
}

}  // namespace
}  // namespace sspo::cli

int main(int argc, char** argv) {
  using namespace sspo::cli;
  wait_with_manners(argv);
  try {
    return run(argc, argv);
  } catch (const Interrupted& e) {
    return complain(128 + e.signal, fmt::format("stopped by signal {}", e.signal));
  } catch (const sspo::Error& e) {
    return complain(exit_code(e.info().kind), one_line(e.info()));
  } catch (const std::system_error& e) {
    return complain(io_error, e.what());
  } catch (const std::bad_alloc&) {
    return complain(internal, "the system has no memory left");
  } catch (const std::exception& e) {
    return complain(internal, e.what());
  }
}
