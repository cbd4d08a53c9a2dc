// Numbers between bounds, spelled digit by digit: a state knows how what was written
// compares with the digits of each bound so far.
#include <algorithm>
#include <array>
#include <tuple>

#include "engine/byte_dfa.h"

namespace vitrine {
namespace {

// A bound on the magnitude.
struct Limit {
  bool set = false;
  Decimal value;
  bool exclusive = false;
};

struct State {
  enum Phase : uint8_t { start, minus, zero, whole, point, fraction, exponent_mark, exponent_sign, exponent };
  Phase phase = start;
  bool negative = false;
  uint8_t digits = 0;                    // in this phase
  std::array<int8_t, 2> order = {0, 0};  // against the digits of the lower and upper limit read so far
  uint32_t remainder = 0;
  auto operator<=>(const State&) const = default;
};

class Speller {
 public:
  Speller(const NumberBounds& bounds, CompileBudget& budget) : bounds_(bounds), budget_(budget) {
    for (const bool negative : {false, true}) {
      // -m between the bounds is m between the bounds negated, in the other order.
      auto low = negative ? negated(bounds.maximum) : bounds.minimum;
      auto high = negative ? negated(bounds.minimum) : bounds.maximum;
      Limit &lower = limits_[negative][0], &upper = limits_[negative][1];
      if (low && !low->value.negative) lower = {true, low->value, low->exclusive};
      if (high) upper = {true, high->value, high->exclusive};
      possible_[negative] = !(high && high->value.negative);
    }
    bounded_ = bounds.minimum || bounds.maximum;
  }

  Result<ByteDfa> build() {
    std::map<State, uint32_t> ids = {{State{}, 0}};
    std::vector<State> states = {State{}};
    std::vector<std::vector<ByteDfa::Edge>> edges;
    std::vector<uint8_t> accepts;
    for (size_t at = 0; at < states.size(); ++at) {
      const State state = states[at];
      accepts.push_back(accepted(state));
      auto& out = edges.emplace_back();
      for (const char c : std::string_view("+-.0123456789Ee")) {
        const auto to = next(state, c);
        if (!to) continue;
        const auto [found, fresh] = ids.try_emplace(*to, static_cast<uint32_t>(states.size()));
        if (fresh) states.push_back(*to);
        out.push_back({static_cast<uint8_t>(c), static_cast<uint8_t>(c), found->second});
      }
      if (!budget_.spend(16) || states.size() > budget_.states) return over_budget();
    }
    if (!budget_.add_states(states.size())) return over_budget();
    return ByteDfa(std::move(edges), accepts);
  }

 private:
  static std::optional<NumberBounds::Bound> negated(const std::optional<NumberBounds::Bound>& bound) {
    if (!bound) return std::nullopt;
    return NumberBounds::Bound{bound->value.negated(), bound->exclusive};
  }

  const Limit& limit(const State& state, size_t side) const { return limits_[state.negative][side]; }

  // What stood behind the digits of the whole part decides by length first.
  int whole_order(const State& state, size_t side) const {
    const size_t digits = state.phase == State::zero ? 1 : state.digits;
    const size_t own = limit(state, side).value.whole.size();
    return digits < own ? -1 : digits > own ? 1 : state.order[side];
  }

  void read_digit(State& state, char c, bool whole) const {
    const size_t at = state.digits;
    for (size_t side = 0; side < 2; ++side) {
      const Limit& bound = limit(state, side);
      if (!bound.set || state.order[side] != 0) continue;
      const std::string& own = whole ? bound.value.whole : bound.value.fraction;
      if (whole && at >= own.size()) continue;
      const char other = at < own.size() ? own[at] : '0';
      state.order[side] = static_cast<int8_t>(c < other ? -1 : c > other ? 1 : 0);
    }
    ++state.digits;
    if (bounds_.multiple_of != 0) {
      state.remainder = (state.remainder * 10 + static_cast<uint32_t>(c - '0')) % bounds_.multiple_of;
    }
  }

  std::optional<State> next(State state, char c) const {
    const bool digit = c >= '0' && c <= '9';
    switch (state.phase) {
      case State::start:
        if (c == '-' && possible_[1]) {
          state.phase = State::minus;
          state.negative = true;
          return state;
        }
        if (!possible_[0]) return std::nullopt;
        [[fallthrough]];
      case State::minus:
        if (!digit) return std::nullopt;
        state.phase = c == '0' ? State::zero : State::whole;
        read_digit(state, c, true);
        return state;
      case State::whole:
        if (digit && state.digits < kWholeDigits) {
          read_digit(state, c, true);
          return state;
        }
        [[fallthrough]];
      case State::zero:
        if (bounds_.integer) return std::nullopt;
        if (c == '.') {
          for (size_t side = 0; side < 2; ++side) {
            if (limit(state, side).set) state.order[side] = static_cast<int8_t>(whole_order(state, side));
          }
          state.phase = State::point;
          state.digits = 0;
          return state;
        }
        return exponent_from(state, c);
      case State::point:
        if (!digit) return std::nullopt;
        state.phase = State::fraction;
        read_digit(state, c, false);
        return state;
      case State::fraction:
        if (digit && state.digits < kFractionDigits) {
          read_digit(state, c, false);
          return state;
        }
        return exponent_from(state, c);
      case State::exponent_mark:
        if (c == '+' || c == '-') {
          state.phase = State::exponent_sign;
          return state;
        }
        [[fallthrough]];
      case State::exponent_sign:
      case State::exponent:
        if (!digit || state.digits == kExponentDigits) return std::nullopt;
        state.phase = State::exponent;
        ++state.digits;
        return state;
    }
    return std::nullopt;
  }

  std::optional<State> exponent_from(const State&, char c) const {
    if ((c != 'e' && c != 'E') || bounded_) return std::nullopt;
    State state;
    state.phase = State::exponent_mark;
    return state;
  }

  bool accepted(const State& state) const {
    const bool whole = state.phase == State::zero || state.phase == State::whole;
    if (state.phase == State::exponent) return true;
    if (!whole && state.phase != State::fraction) return false;
    if (state.remainder != 0) return false;
    for (size_t side = 0; side < 2; ++side) {
      const Limit& bound = limit(state, side);
      if (!bound.set) continue;
      int order = whole ? whole_order(state, side) : state.order[side];
      const size_t read = whole ? 0 : state.digits;
      if (order == 0 && read < bound.value.fraction.size()) order = -1;  // its last digit is not zero
      if (order == 0 && bound.exclusive) return false;
      if (side == 0 ? order < 0 : order > 0) return false;
    }
    return true;
  }

  const NumberBounds& bounds_;
  CompileBudget& budget_;
  Limit limits_[2][2];  // [negative][lower, upper]
  bool possible_[2];
  bool bounded_;
};

}  // namespace

Result<ByteDfa> spell_number(const NumberBounds& bounds, CompileBudget& budget) {
  return Speller(bounds, budget).build();
}

}  // namespace vitrine
