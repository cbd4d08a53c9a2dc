#include <algorithm>
#include <optional>
#include <string>

#include "engine/regex_ast.h"
#include "engine/unicode.h"

namespace vitrine {
namespace {

constexpr char32_t kLast = 0x10FFFF;
constexpr uint32_t kMaxRepeat = 100'000;
constexpr int kMaxDepth = 100;

const CharSet kDigits = {{'0', '9'}};
const CharSet kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
// ECMA-262, WhiteSpace and LineTerminator.
const CharSet kSpace = {{0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const CharSet kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

class Parser {
 public:
  explicit Parser(std::string_view pattern) {
    for (size_t at = 0; at < pattern.size();) {
      const Utf8Step step = utf8_step(pattern, at);
      text_.push_back(step.code);
      at += step.length;
    }
  }

  Result<RegexTree> parse() {
    auto root = choice(0);
    if (root && at_ < text_.size()) root = fail(ErrorCode::malformed, "the pattern has a ')' too many");
    if (!root) return tl::make_unexpected(root.error());
    tree_.root = *root;
    return std::move(tree_);
  }

 private:
  using Node = RegexNode;
  using Index = Result<uint32_t>;

  bool more() const { return at_ < text_.size(); }
  char32_t here() const { return text_[at_]; }
  bool take(char32_t c) { return more() && here() == c ? (++at_, true) : false; }
  bool looks_at(std::string_view word) const {
    for (size_t i = 0; i < word.size(); ++i) {
      if (at_ + i >= text_.size() || text_[at_ + i] != static_cast<char32_t>(word[i])) return false;
    }
    return true;
  }
  uint32_t add(Node node) {
    tree_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(tree_.nodes.size() - 1);
  }
  uint32_t add_set(CharSet set) {
    normalize(set);
    return add({.kind = Node::Kind::set, .set = std::move(set), .children = {}});
  }
  static tl::unexpected<Error> refuse(std::string what) {
    return fail(ErrorCode::unsupported, "the pattern uses " + std::move(what) + ", which is not supported");
  }
  static tl::unexpected<Error> bad(std::string what) {
    return fail(ErrorCode::malformed, "the pattern has " + std::move(what));
  }

  Index choice(int depth) {
    if (depth > kMaxDepth) return fail(ErrorCode::limit, "the pattern nests too deep");
    Node node{.kind = Node::Kind::choice, .set = {}, .children = {}};
    do {
      auto branch = sequence(depth);
      if (!branch) return branch;
      node.children.push_back(*branch);
    } while (take('|'));
    return node.children.size() == 1 ? node.children[0] : add(std::move(node));
  }

  Index sequence(int depth) {
    Node node{.kind = Node::Kind::sequence, .set = {}, .children = {}};
    while (more() && here() != '|' && here() != ')') {
      auto part = term(depth);
      if (!part) return part;
      node.children.push_back(*part);
    }
    return add(std::move(node));
  }

  Index term(int depth) {
    if (take('^')) return add({.kind = Node::Kind::begin, .set = {}, .children = {}});
    if (take('$')) return add({.kind = Node::Kind::end, .set = {}, .children = {}});
    auto part = atom(depth);
    if (!part || !more()) return part;
    uint32_t minimum = 0, maximum = Node::kUnlimited;
    if (take('*')) {
    } else if (take('+')) {
      minimum = 1;
    } else if (take('?')) {
      maximum = 1;
    } else if (here() == '{') {
      ++at_;
      const auto low = number();
      if (!low) return bad("a '{' that begins no {m,n}");
      minimum = maximum = *low;
      if (take(',')) {
        maximum = Node::kUnlimited;
        if (more() && here() != '}') {
          const auto high = number();
          if (!high) return bad("a '{' that begins no {m,n}");
          maximum = *high;
        }
      }
      if (!take('}')) return bad("a '{' that begins no {m,n}");
      if (minimum > maximum) return bad("a repetition whose bounds are the wrong way round");
      if (minimum > kMaxRepeat || (maximum > kMaxRepeat && maximum != Node::kUnlimited)) {
        return fail(ErrorCode::limit, "the pattern repeats more than " + std::to_string(kMaxRepeat) + " times");
      }
    } else {
      return part;
    }
    take('?');  // lazy: the same strings match
    if (more() && (here() == '*' || here() == '+' || here() == '?')) return bad("nothing to repeat");
    return add({.kind = Node::Kind::repeat, .set = {}, .children = {*part}, .minimum = minimum, .maximum = maximum});
  }

  std::optional<uint32_t> number() {
    if (!more() || here() < '0' || here() > '9') return std::nullopt;
    uint64_t value = 0;
    while (more() && here() >= '0' && here() <= '9')
      value = std::min<uint64_t>(value * 10 + (text_[at_++] - '0'), 1u << 30);
    return static_cast<uint32_t>(value);
  }

  Index atom(int depth) {
    if (take('(')) {
      if (looks_at("?:")) {
        at_ += 2;
      } else if (looks_at("?=") || looks_at("?!") || looks_at("?<=") || looks_at("?<!")) {
        return refuse("look-around");
      } else if (looks_at("?<")) {
        while (more() && here() != '>') ++at_;
        if (!take('>')) return bad("a group name without its end");
      } else if (looks_at("?")) {
        return refuse("a group of the form (?…)");
      }
      auto inner = choice(depth + 1);
      if (inner && !take(')')) return bad("a '(' without its ')'");
      return inner;
    }
    if (take('[')) return char_class();
    if (take('.')) {
      return add_set(complement(kLineEnds));
    }
    if (take('\\')) {
      auto set = escape(false);
      if (!set) return tl::make_unexpected(set.error());
      return add_set(std::move(*set));
    }
    if (here() == '*' || here() == '+' || here() == '?') return bad("nothing to repeat");
    if (here() == '{') return bad("a '{' that begins no {m,n}");
    const char32_t c = text_[at_++];
    return add_set({{c, c}});
  }

  std::optional<char32_t> hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      if (!more()) return std::nullopt;
      const char32_t c = here();
      const char32_t lower = c | 0x20;
      if (c >= '0' && c <= '9') {
        value = value * 16 + (c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + (lower - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    return value;
  }

  Result<CharSet> unicode_escape() {
    std::optional<char32_t> code;
    if (take('{')) {
      char32_t value = 0;
      size_t digits = 0;
      for (; more() && here() != '}'; ++digits) {
        const auto digit = hex(1);
        if (!digit || value > kLast) return bad("a \\u escape that is none");
        value = value * 16 + *digit;
      }
      if (digits == 0 || !take('}') || value > kLast) return bad("a \\u escape that is none");
      code = value;
    } else {
      code = hex(4);
      if (code && *code >= 0xD800 && *code <= 0xDBFF && looks_at("\\u")) {
        const size_t back = at_;
        at_ += 2;
        const auto low = hex(4);
        if (low && *low >= 0xDC00 && *low <= 0xDFFF) {
          code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
        } else {
          at_ = back;
        }
      }
    }
    if (!code) return bad("a \\u escape that is none");
    return CharSet{{*code, *code}};
  }

  // What follows a backslash.
  Result<CharSet> escape(bool in_class) {
    if (!more()) return bad("a backslash at its end");
    const char32_t c = text_[at_++];
    const auto one = [](char32_t code) { return CharSet{{code, code}}; };
    switch (c) {
      case 'd': return kDigits;
      case 'D': return complement(kDigits);
      case 'w': return kWord;
      case 'W': return complement(kWord);
      case 's': return kSpace;
      case 'S': return complement(kSpace);
      case 't': return one('\t');
      case 'n': return one('\n');
      case 'v': return one('\v');
      case 'f': return one('\f');
      case 'r': return one('\r');
      case 'u': return unicode_escape();
      case 'x': {
        const auto code = hex(2);
        if (!code) return bad("a \\x escape that is none");
        return one(*code);
      }
      case 'c': {
        if (!more() || (here() | 0x20) < 'a' || (here() | 0x20) > 'z') return bad("a \\c escape that is none");
        return one(text_[at_++] & 0x1F);
      }
      case 'b':
        if (in_class) return one('\b');
        return refuse("\\b");
      case 'B': return refuse("\\B");
      case 'p':
      case 'P': return refuse("\\p");
      case 'k': return refuse("a back reference");
      default: break;
    }
    if (c == '0' && !(more() && here() >= '0' && here() <= '9')) return one(0);
    if (c >= '0' && c <= '9') return refuse("a back reference");
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return refuse(std::string("\\") + static_cast<char>(c));
    return one(c);
  }

  Index char_class() {
    const bool negated = take('^');
    CharSet set;
    while (true) {
      if (!more()) return bad("a '[' without its ']'");
      if (take(']')) break;
      auto low = class_atom();
      if (!low) return tl::make_unexpected(low.error());
      if (more() && here() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        auto high = class_atom();
        if (!high) return tl::make_unexpected(high.error());
        const auto single = [](const CharSet& s) { return s.size() == 1 && s[0].first == s[0].second; };
        if (!single(*low) || !single(*high)) return bad("a range between classes");
        if ((*low)[0].first > (*high)[0].first) return bad("a range whose ends are the wrong way round");
        set.emplace_back((*low)[0].first, (*high)[0].first);
      } else {
        set.insert(set.end(), low->begin(), low->end());
      }
    }
    normalize(set);
    return add_set(negated ? complement(set) : set);
  }

  Result<CharSet> class_atom() {
    if (!more()) return bad("a '[' without its ']'");
    if (take('\\')) return escape(true);
    const char32_t c = text_[at_++];
    return CharSet{{c, c}};
  }

  std::u32string text_;
  size_t at_ = 0;
  RegexTree tree_;
};

}  // namespace

void normalize(CharSet& set) {
  std::sort(set.begin(), set.end());
  CharSet joined;
  for (auto [low, high] : set) {
    if (!joined.empty() && low <= joined.back().second + 1) {
      joined.back().second = std::max(joined.back().second, high);
    } else {
      joined.emplace_back(low, high);
    }
  }
  set.clear();
  for (auto [low, high] : joined) {  // strings hold scalar values only
    if (low < 0xD800) set.emplace_back(low, std::min<char32_t>(high, 0xD7FF));
    if (high > 0xDFFF) set.emplace_back(std::max<char32_t>(low, 0xE000), high);
  }
}

CharSet complement(const CharSet& set) {
  CharSet out;
  char32_t next = 0;
  for (const auto& [low, high] : set) {
    if (low > next) out.emplace_back(next, low - 1);
    next = high + 1;
  }
  if (next <= kLast) out.emplace_back(next, kLast);
  normalize(out);
  return out;
}

Result<RegexTree> parse_regex(std::string_view pattern) { return Parser(pattern).parse(); }

}  // namespace vitrine
