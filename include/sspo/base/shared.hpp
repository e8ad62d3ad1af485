// Shared: a counted handle on an object, which goes with its last handle. std::shared_ptr without the quarter of a
// second that <memory> costs each unit that includes it.
//   Shared<Node> node = Shared<Node>::make();          // arguments go to Node's constructor
//   Shared<const Node> same = node;                    // two handles; Shared<void> holds anything
// Counting is atomic: handles may be copied and dropped by several threads, one handle by one thread at a time.
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

namespace sspo {
namespace detail {

struct Counted {  // knows how to destroy what it counts: handles of a type that is only declared work, too
  long handles = 1;
  virtual ~Counted() = default;
};
template <class T>
struct Counting final : Counted {
  T object;
  template <class... A> explicit Counting(A&&... a) : object(std::forward<A>(a)...) {}
};

}  // namespace detail

template <class T>
class Shared {
 public:
  template <class... A>
  static Shared make(A&&... a) {
    auto* const counted = new detail::Counting<std::remove_const_t<T>>(std::forward<A>(a)...);
    return Shared(&counted->object, counted);
  }

  Shared() = default;
  Shared(std::nullptr_t) {}  // NOLINT: implicit, as the conversions below
  Shared(const Shared& other) : Shared(other.object_, other.counted_) { count(); }
  Shared(Shared&& other) noexcept : object_(std::exchange(other.object_, nullptr)), counted_(std::exchange(other.counted_, nullptr)) {}
  template <class U> requires std::is_convertible_v<U*, T*>
  Shared(const Shared<U>& other) : Shared(other.object_, other.counted_) { count(); }
  template <class U> requires std::is_convertible_v<U*, T*>
  Shared(Shared<U>&& other) noexcept : object_(std::exchange(other.object_, nullptr)), counted_(std::exchange(other.counted_, nullptr)) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(object_, other.object_);
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~Shared() {
    if (counted_ && __atomic_sub_fetch(&counted_->handles, 1, __ATOMIC_ACQ_REL) == 0) delete counted_;
  }

  T* get() const { return object_; }
  T* operator->() const { return object_; }
  std::add_lvalue_reference_t<T> operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  bool unique() const { return counted_ && __atomic_load_n(&counted_->handles, __ATOMIC_ACQUIRE) == 1; }  // no other handle
  friend bool operator==(const Shared& a, const Shared& b) { return a.object_ == b.object_; }

 private:
  template <class U> friend class Shared;
  Shared(T* object, detail::Counted* counted) : object_(object), counted_(counted) {}
  void count() { if (counted_) __atomic_add_fetch(&counted_->handles, 1, __ATOMIC_RELAXED); }

  T* object_ = nullptr;
  detail::Counted* counted_ = nullptr;
};

}  // namespace sspo
