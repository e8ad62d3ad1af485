// The verbs and their options, as the command line has them. Each runs as its parser's callback.
#pragma once

namespace CLI {
class App;
}

namespace sspo::cli {

void add_verbs(CLI::App& app);

}  // namespace sspo::cli
