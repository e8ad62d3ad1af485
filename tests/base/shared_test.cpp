#include "sspo/base/shared.hpp"

#include <thread>
#include <vector>

#include "support.hpp"

using namespace sspo;

namespace {

struct Watched {  // counts those alive
  explicit Watched(int& count) : alive(count) { ++alive; }
  ~Watched() { --alive; }
  Watched(const Watched&) = delete;
  int& alive;
};
struct Base { int number = 0; };
struct Derived : Base {
  Derived(int& count, int n) : watched(count) { number = n; }
  Watched watched;
};
struct Declared;  // never defined here

}  // namespace

TEST_CASE("shared: the object goes with its last handle") {
  int alive = 0;
  auto a = Shared<Watched>::make(alive);
  CHECK(alive == 1);
  CHECK(a.unique());
  Shared<const Watched> b = a;
  CHECK(b == Shared<const Watched>(a));
  CHECK_FALSE(a.unique());
  a = nullptr;
  CHECK(alive == 1);
  CHECK(b.unique());
  Shared<const Watched> c = std::move(b);
  CHECK_FALSE(bool(b));  // NOLINT: a moved-from handle is null
  CHECK(c.unique());
  c = Shared<Watched>::make(alive);  // the first goes, the second comes
  CHECK(alive == 1);
  c = *&c;
  CHECK(alive == 1);
  c = nullptr;
  CHECK(alive == 0);
}

TEST_CASE("shared: a handle of a base, or of nothing in particular, destroys what was made") {
  int alive = 0;
  Shared<Base> base = Shared<Derived>::make(alive, 7);
  CHECK(base->number == 7);
  Shared<void> anything = std::move(base);
  CHECK(base == nullptr);  // NOLINT: as above
  CHECK(static_cast<Base*>(anything.get())->number == 7);
  CHECK(alive == 1);
  anything = nullptr;
  CHECK(alive == 0);
}

TEST_CASE("shared: null handles, also of a type that is only declared") {
  Shared<Declared> none, other = nullptr;
  const Shared<Declared> copy = none;
  CHECK(copy == other);
  CHECK(none.get() == nullptr);
  CHECK_FALSE(none.unique());
}

TEST_CASE("shared: handles counted by several threads") {
  int alive = 0;
  {
    const auto shared = Shared<Watched>::make(alive);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([mine = shared] {
        for (int i = 0; i < 20000; ++i) { const Shared<const Watched> one = mine, two = one; (void)two; }
      });
    for (auto& t : threads) t.join();
    CHECK(shared.unique());
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}
