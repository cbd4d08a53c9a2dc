// Finds items of a vector by a name in them. Sorted, not hashed: a file that
// chooses its names cannot make it slow.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace vitrine {

// `name` gives the std::string_view of an item; the same for build() and find(),
// over the same items.
class NameIndex {
 public:
  // Fails with the position of an item whose name came before.
  template <class Items, class Name>
  static tl::expected<NameIndex, uint32_t> build(const Items& items, Name name) {
    NameIndex index;
    std::vector<uint32_t>& order = index.order_;
    order.resize(items.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      const int compared = name(items[a]).compare(name(items[b]));
      return compared != 0 ? compared < 0 : a < b;
    });
    for (size_t i = 1; i < order.size(); ++i) {
      if (name(items[order[i - 1]]) == name(items[order[i]])) return tl::make_unexpected(order[i]);
    }
    return index;
  }

  template <class Items, class Name>
  auto find(const Items& items, std::string_view wanted, Name name) const -> decltype(&items[0]) {
    const auto found = std::lower_bound(order_.begin(), order_.end(), wanted,
                                        [&](uint32_t i, std::string_view w) { return name(items[i]) < w; });
    return found != order_.end() && name(items[*found]) == wanted ? &items[*found] : nullptr;
  }

 private:
  std::vector<uint32_t> order_;
};

}  // namespace vitrine
