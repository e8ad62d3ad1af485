#include "report/reading.hpp"

#include <cmath>

#include "report/html.hpp"

namespace sspo::report {

Verdict verdict(const Difference& d) {
  if (d.prompts < fewest_prompts || !std::isfinite(d.low) || !std::isfinite(d.high)) return Verdict::too_few;
  if (d.low <= 0 && d.high >= 0) return Verdict::equal;
  if (d.agree < d.seeds) return Verdict::uneven;
  return d.low > 0 ? Verdict::higher : Verdict::lower;
}

std::string claim(const Difference& d) {
  const std::string by = " by " + number(std::abs(d.mean), 3) + " " + (d.mean < 0 ? interval(-d.high, -d.low, 3) : interval(d.low, d.high, 3));
  switch (verdict(d)) {
    case Verdict::too_few: return "too few prompts to say (" + std::to_string(d.prompts) + ")";
    case Verdict::equal: return "cannot be told apart (" + signed_number(d.mean, 3) + " " + interval(d.low, d.high, 3) + ")";
    case Verdict::higher: return "higher" + by;
    case Verdict::lower: return "lower" + by;
    case Verdict::uneven: return (d.mean < 0 ? "lower" : "higher") + by + " on average, but in " + std::to_string(d.agree) + " of " + count_of(d.seeds, "seed") + " only";
  }
  return {};
}

std::string reading(const std::string& method, const std::string& against, const std::vector<Found>& found) {
  std::string apart, equal;
  std::size_t few = 0, equals = 0;
  for (const Found& f : found) switch (verdict(f.difference)) {
      case Verdict::too_few: ++few; break;
      case Verdict::equal: equal += (equals++ ? ", " : "") + f.measure + " (" + signed_number(f.difference.mean, 3) + " " + interval(f.difference.low, f.difference.high, 3) + ")"; break;
      default: apart += (apart.empty() ? "" : ", ") + f.measure + " " + claim(f.difference);
    }
  if (found.empty() || few == found.size()) return method + " against " + against + ": too few prompts to say.";
  std::string text = method + " against " + against + ": " + apart;
  if (equals) text += (apart.empty() ? "cannot be told apart by " : "; cannot be told apart by ") + equal;
  return text + (found[0].difference.seeds == 1 ? " (one seed alone)." : ".");
}

}  // namespace sspo::report
