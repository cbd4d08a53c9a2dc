#include "engine/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <unordered_map>

#include "engine/added_tokens.h"
#include "engine/byte_pair.h"
#include "engine/pre_tokenizer.h"
#include "engine/unicode.h"

namespace vitrine {

struct Tokenizer::State {
  TokenizerData data;               // tokens and merges are moved out of it
  std::vector<std::string> texts;   // id -> what text is compared with
  std::vector<std::string> output;  // id -> the bytes it stands for; empty when those are `texts`
  std::vector<bool> special, byte_token, ends;
  TokenIndex plain;  // bytes -> id, of tokens that text may become
  std::unordered_map<std::string, TokenId> added_ids;
  std::array<TokenId, 256> byte_ids{};  // -1: no token
  MergeTable merges;
  AddedTokenMatcher before, after;  // looked for before and after normalization; index into data.added
  PreTokenizer pre_tokenizer;

  explicit State(PreTokenizer pre) : pre_tokenizer(std::move(pre)) {}

  Result<std::string_view> normalize(std::string_view text, std::string& scratch, std::string& other) const;
  Status encode_piece(std::string_view piece, PairMerger& merger, std::vector<TokenId>& symbols,
                      std::vector<TokenId>& out) const;
};

namespace {

constexpr size_t kMaxText = size_t{1} << 30;
constexpr size_t kMaxAdded = 1u << 16;
constexpr std::string_view kLowerOneEighth = "\xE2\x96\x81";  // U+2581, SentencePiece's space

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view by) {
  std::string out;
  size_t at = 0;
  for (size_t hit; (hit = text.find(pattern, at)) != text.npos; at = hit + pattern.size()) {
    out.append(text.substr(at, hit - at)).append(by);
  }
  return out.append(text.substr(at));
}

// The byte of a token spelled <0xNN>.
std::optional<uint8_t> fallback_byte(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  const int high = digit(text[3]), low = digit(text[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<uint8_t>(high * 16 + low);
}

Error named(ErrorCode code, std::string message) { return Error{code, std::move(message), "tokenizer"}; }
tl::unexpected<Error> refuse(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(named(code, std::move(message)));
}

// SentencePiece merges the pair whose joined piece has the best score. As every
// piece can be cut in two in a few places only, that is the same as merging by
// rank, with one rank per distinct score.
Status merges_from_scores(const std::vector<std::string>& texts, const std::vector<float>& scores,
                          const std::vector<bool>& mergeable, const TokenIndex& index, MergeTable& merges) {
  std::vector<float> distinct;
  uint64_t work = 0;
  for (size_t id = 0; id < texts.size(); ++id) {
    if (!mergeable[id]) continue;
    if (scores[id] != scores[id])
      return refuse(ErrorCode::malformed, "the score of token " + std::to_string(id) + " is no number");
    distinct.push_back(scores[id]);
    work += static_cast<uint64_t>(texts[id].size()) * texts[id].size();
  }
  if (work > uint64_t{1} << 30) return refuse(ErrorCode::limit, "SentencePiece tokens too long to be real");
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (size_t id = 0; id < texts.size(); ++id) {
    if (!mergeable[id]) continue;
    const std::string_view text = texts[id];
    const auto rank = static_cast<uint32_t>(
        std::lower_bound(distinct.begin(), distinct.end(), scores[id], std::greater<>()) - distinct.begin());
    for (size_t cut = utf8_step(text, 0).length; cut < text.size(); cut += utf8_step(text, cut).length) {
      const auto left = index.find(texts, text.substr(0, cut)), right = index.find(texts, text.substr(cut));
      if (left && right) merges.insert(*left, *right, {rank, static_cast<TokenId>(id)});
    }
  }
  return {};
}

bool valid_id(std::optional<TokenId> id, size_t count) { return !id || (*id >= 0 && static_cast<size_t>(*id) < count); }

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Result<Tokenizer> Tokenizer::create(TokenizerData data) {
  const size_t count = data.tokens.size();
  if (count == 0) return refuse(ErrorCode::malformed, "no tokens");
  if (count > kMaxTokens) return refuse(ErrorCode::limit, "more than 2097152 tokens");
  if (data.added.size() > kMaxAdded) return refuse(ErrorCode::limit, "more than 65536 added tokens");
  for (const auto id : {data.unknown, data.bos, data.eos, data.padding}) {
    if (!valid_id(id, count))
      return refuse(ErrorCode::malformed, "special token id " + std::to_string(*id) + " has no token");
  }
  auto pre_tokenizer = PreTokenizer::create(data.pre_tokenizer);
  if (!pre_tokenizer) return tl::unexpected(pre_tokenizer.error());
  auto state = std::make_unique<State>(std::move(*pre_tokenizer));

  state->special.assign(count, false);
  state->byte_token.assign(count, false);
  state->ends.assign(count, false);
  for (const TokenId id : data.end_of_generation) {
    if (!valid_id(id, count))
      return refuse(ErrorCode::malformed, "end token id " + std::to_string(id) + " has no token");
    state->ends[static_cast<size_t>(id)] = true;
  }
  if (data.eos) state->ends[static_cast<size_t>(*data.eos)] = true;
  for (const std::string& token : data.tokens) {
    if (token.size() > kMaxTokenBytes) return refuse(ErrorCode::limit, "a token longer than 64 KiB");
  }

  // Merges name tokens as the file spells them, so they are looked up first.
  TokenIndex spelled(count);
  for (size_t id = 0; id < count; ++id) {
    if (!data.tokens[id].empty()) spelled.insert(data.tokens, static_cast<TokenId>(id));
  }
  std::vector<bool> is_added(count, false);
  for (size_t i = 0; i < data.added.size(); ++i) {
    const AddedToken& token = data.added[i];
    if (!valid_id(token.id, count))
      return refuse(ErrorCode::malformed, "added token id " + std::to_string(token.id) + " has no token");
    if (token.text.empty())
      return refuse(ErrorCode::malformed, "added token " + std::to_string(token.id) + " is empty");
    if (token.text.size() > AddedTokenMatcher::kMaxTokenBytes)
      return refuse(ErrorCode::limit, "an added token longer than 512 bytes");
    is_added[static_cast<size_t>(token.id)] = true;
    if (token.special) state->special[static_cast<size_t>(token.id)] = true;
  }

  if (data.model == TokenizerData::Model::bpe) {
    state->merges = MergeTable(data.merges.size());
    const auto id_of = [&](const std::string& text) -> std::optional<TokenId> {
      return spelled.find(data.tokens, text);
    };
    std::string joined;
    for (size_t rank = 0; rank < data.merges.size(); ++rank) {
      const auto& [left_text, right_text] = data.merges[rank];
      joined.assign(left_text).append(right_text);
      const auto left = id_of(left_text), right = id_of(right_text), both = id_of(joined);
      if (!left || !right || !both) {
        return refuse(ErrorCode::malformed, "merge " + std::to_string(rank) + " names '" +
                                                (!left    ? left_text
                                                 : !right ? right_text
                                                          : joined) +
                                                "', which is no token");
      }
      // Text never becomes a control token by merging.
      if (!state->special[static_cast<size_t>(*both)])
        state->merges.insert(*left, *right, {static_cast<uint32_t>(rank), *both});
    }
  } else {
    if (data.scores.size() != count) return refuse(ErrorCode::malformed, "the scores are not as many as the tokens");
    std::vector<bool> mergeable(count);
    for (size_t id = 0; id < count; ++id) {
      mergeable[id] = !data.tokens[id].empty() && !is_added[id] && !fallback_byte(data.tokens[id]) &&
                      data.unknown != static_cast<TokenId>(id);
    }
    TokenIndex pieces(count);
    for (size_t id = 0; id < count; ++id) {
      if (mergeable[id]) pieces.insert(data.tokens, static_cast<TokenId>(id));
    }
    const auto done = merges_from_scores(data.tokens, data.scores, mergeable, pieces, state->merges);
    if (!done) return tl::unexpected(done.error());
  }

  // What text is compared with: raw bytes for byte-level vocabularies, the
  // file's spelling (with U+2581 for spaces) for the others.
  const bool byte_level = data.byte_level;
  state->texts = std::move(data.tokens);
  data.merges = {};
  data.scores = {};
  for (const AddedToken& token : data.added) state->texts[static_cast<size_t>(token.id)] = token.text;
  if (byte_level) {
    for (size_t id = 0; id < count; ++id) {
      if (is_added[id]) continue;
      if (auto raw = alphabet_bytes(state->texts[id])) state->texts[id] = std::move(*raw);
    }
  }
  state->plain = TokenIndex(count);
  for (size_t id = 0; id < count; ++id) {
    if (!state->texts[id].empty() && !state->special[id]) state->plain.insert(state->texts, static_cast<TokenId>(id));
  }
  if (!byte_level) state->output = state->texts;
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::array<char, 8> name{};
    std::snprintf(name.data(), name.size(), "<0x%02X>", byte);
    const auto id = byte_level ? state->plain.find(state->texts, std::string(1, static_cast<char>(byte)))
                               : state->plain.find(state->texts, name.data());
    state->byte_ids[byte] = id.value_or(-1);
    if (byte_level || !id) continue;
    state->byte_token[static_cast<size_t>(*id)] = true;
    state->output[static_cast<size_t>(*id)].assign(1, static_cast<char>(byte));
  }
  for (size_t id = 0; id < state->output.size(); ++id) {
    if (!is_added[id]) state->output[id] = replace_all(state->output[id], kLowerOneEighth, " ");
  }

  std::string scratch, other;
  state->data = std::move(data);
  for (size_t i = 0; i < state->data.added.size(); ++i) {
    const AddedToken& token = state->data.added[i];
    state->added_ids.emplace(token.text, token.id);
    if (!token.normalized) {
      state->before.add(token.text, static_cast<uint32_t>(i));
    } else {
      const auto text = state->normalize(token.text, scratch, other);
      if (!text) return tl::unexpected(text.error());
      state->after.add(*text, static_cast<uint32_t>(i));
    }
  }
  return Tokenizer(std::move(state));
}

Result<std::string_view> Tokenizer::State::normalize(std::string_view text, std::string& scratch,
                                                     std::string& other) const {
  for (const NormalizerStep& step : data.normalizer) {
    switch (step.kind) {
      case NormalizerStep::Kind::nfc: {
        const auto composed = to_nfc(text, other);
        if (!composed) return refuse(ErrorCode::limit, "the text cannot be normalized");
        if (composed->data() == text.data()) continue;
        break;
      }
      case NormalizerStep::Kind::prepend:
        if (text.empty()) continue;
        other.assign(step.text).append(text);
        break;
      case NormalizerStep::Kind::replace:
        if (step.pattern.empty() || text.find(step.pattern) == text.npos) continue;
        other = replace_all(text, step.pattern, step.text);
        break;
    }
    scratch.swap(other);
    text = scratch;
  }
  return text;
}

namespace {

// A part of the text: an added token, or text.
struct Part {
  size_t begin, end;
  TokenId id;  // -1: text
};

// Cuts [begin, end) of `text` at added tokens. A token never reaches into a literal range.
void cut_added(const AddedTokenMatcher& matcher, const std::vector<AddedToken>& added, AddedTokens which,
               std::string_view text, std::span<const TextRange> literal, std::vector<Part>& parts) {
  size_t done = 0;
  const auto search = [&](size_t begin, size_t end) {
    size_t from = begin;
    while (const auto match = matcher.find(text.substr(0, end), from)) {
      const AddedToken& token = added[match->index];
      from = match->end;
      if (which == AddedTokens::not_special && token.special) continue;
      size_t first = match->begin, last = match->end;
      if (token.lstrip) {
        // Backwards over whole characters of white space, not into what is taken.
        while (first > done) {
          size_t start = first - 1;
          while (start > done && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
          if (!is_unicode_space(utf8_step(text, start).code)) break;
          first = start;
        }
      }
      if (token.rstrip) {
        while (last < text.size()) {
          const Utf8Step step = utf8_step(text, last);
          if (!is_unicode_space(step.code)) break;
          last += step.length;
        }
      }
      if (first > done) parts.push_back({done, first, -1});
      parts.push_back({first, last, token.id});
      done = last;
      from = std::max(from, done);
    }
  };
  if (which != AddedTokens::none && !matcher.empty()) {
    size_t begin = 0;
    for (const TextRange& range : literal) {
      if (range.begin > begin) search(std::max(begin, done), range.begin);
      begin = std::max(begin, range.end);
    }
    if (begin < text.size()) search(std::max(begin, done), text.size());
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
}

// `literal` cut to [begin, end) and counted from `begin`.
std::vector<TextRange> within(std::span<const TextRange> literal, size_t begin, size_t end) {
  std::vector<TextRange> out;
  for (const TextRange& range : literal) {
    const size_t from = std::max(range.begin, begin), to = std::min(range.end, end);
    if (from < to) out.push_back({from - begin, to - begin});
  }
  return out;
}

}  // namespace

Status Tokenizer::State::encode_piece(std::string_view piece, PairMerger& merger, std::vector<TokenId>& symbols,
                                      std::vector<TokenId>& out) const {
  if (data.ignore_merges) {
    if (const auto whole = plain.find(texts, piece)) {
      out.push_back(*whole);
      return {};
    }
  }
  symbols.clear();
  // An unknown character: the unknown token, or nothing when there is none, as the reference does.
  const auto unknown = [&] {
    if (!data.unknown) return;
    if (data.fuse_unknown && !symbols.empty() && symbols.back() == *data.unknown) return;
    symbols.push_back(*data.unknown);
  };
  if (data.byte_level) {
    for (const char c : piece) {
      const TokenId id = byte_ids[static_cast<uint8_t>(c)];
      if (id >= 0) {
        symbols.push_back(id);
      } else {
        unknown();
      }
    }
  } else {
    for (size_t at = 0; at < piece.size();) {
      const std::string_view character = piece.substr(at, utf8_step(piece, at).length);
      at += character.size();
      if (const auto id = plain.find(texts, character)) {
        symbols.push_back(*id);
        continue;
      }
      const auto has_token = [&](char c) { return byte_ids[static_cast<uint8_t>(c)] >= 0; };
      if (data.byte_fallback && std::all_of(character.begin(), character.end(), has_token)) {
        for (const char c : character) symbols.push_back(byte_ids[static_cast<uint8_t>(c)]);
      } else {
        unknown();
      }
    }
  }
  merger.merge(merges, symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
  return {};
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const State& s = *state_;
  if (text.size() > kMaxText) return refuse(ErrorCode::limit, "the text is longer than 1 GiB");
  std::vector<TokenId> out;

  // Ranges move when ill-formed parts are replaced.
  std::vector<TextRange> moved;
  std::span<const TextRange> literal = options.literal;
  std::string repaired;
  const std::string_view input = well_formed(text, repaired);
  if (input.data() != text.data() && !literal.empty()) {
    std::vector<size_t> offset(text.size() + 1);
    size_t to = 0;
    for (size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_step(text, at);
      for (size_t i = 0; i < step.length; ++i) offset[at + i] = to;
      to += step.kind == Utf8Step::Kind::character ? step.length : kReplacement.size();
      at += step.length;
      offset[at] = to;
    }
    for (const TextRange& range : literal) {
      moved.push_back({offset[std::min(range.begin, text.size())], offset[std::min(range.end, text.size())]});
    }
    literal = moved;
  }

  std::vector<Part> parts, inner;
  cut_added(s.before, s.data.added, options.added, input, literal, parts);
  PairMerger merger;
  std::vector<TokenId> symbols;
  std::string scratch, other, rewritten;
  for (const Part& part : parts) {
    if (part.id >= 0) {
      out.push_back(part.id);
      continue;
    }
    const std::string_view source = input.substr(part.begin, part.end - part.begin);
    const auto normalized = s.normalize(source, scratch, other);
    if (!normalized) return tl::unexpected(normalized.error());
    std::vector<TextRange> ranges = within(literal, part.begin, part.end);
    // Offsets no longer fit what was rewritten: then a part with something literal is literal as a whole.
    if (!ranges.empty() && normalized->data() != source.data()) ranges = {{0, normalized->size()}};
    inner.clear();
    cut_added(s.after, s.data.added, options.added, *normalized, ranges, inner);
    for (const Part& piece : inner) {
      if (piece.id >= 0) {
        out.push_back(piece.id);
        continue;
      }
      const auto pieces = s.pre_tokenizer.split(normalized->substr(piece.begin, piece.end - piece.begin),
                                                part.begin == 0 && piece.begin == 0, rewritten);
      if (!pieces) return tl::unexpected(pieces.error());
      for (const std::string_view word : *pieces) {
        const auto done = s.encode_piece(word, merger, symbols, out);
        if (!done) return tl::unexpected(done.error());
      }
    }
  }
  if (options.add_bos && s.data.bos && (out.empty() || out.front() != *s.data.bos))
    out.insert(out.begin(), *s.data.bos);
  return out;
}

std::vector<TextRange> Tokenizer::find_added(std::string_view text, Spelled which) const {
  std::vector<TextRange> found;
  for (const AddedTokenMatcher* matcher : {&state_->before, &state_->after}) {
    size_t from = 0;
    while (const auto match = matcher->find(text, from)) {
      // The next search begins one byte on: another token may begin inside this one.
      from = match->begin + 1;
      if (which == Spelled::all || state_->data.added[match->index].special)
        found.push_back({match->begin, match->end});
    }
  }
  std::sort(found.begin(), found.end(), [](const TextRange& a, const TextRange& b) { return a.begin < b.begin; });
  std::vector<TextRange> merged;
  for (const TextRange& range : found) {
    if (!merged.empty() && range.begin < merged.back().end) {
      merged.back().end = std::max(merged.back().end, range.end);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  StreamingDetokenizer stream(*this, skip_special);
  std::string out;
  for (const TokenId id : ids) out += stream.push(id);
  return out + stream.finish();
}

size_t Tokenizer::size() const { return state_->texts.size(); }

std::string_view Tokenizer::bytes(TokenId id) const {
  if (id < 0 || static_cast<size_t>(id) >= size()) return {};
  return (state_->output.empty() ? state_->texts : state_->output)[static_cast<size_t>(id)];
}

bool Tokenizer::is_special(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < size() && state_->special[static_cast<size_t>(id)];
}

bool Tokenizer::is_byte(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < size() && state_->byte_token[static_cast<size_t>(id)];
}

bool Tokenizer::ends_generation(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < size() && state_->ends[static_cast<size_t>(id)];
}

std::optional<TokenId> Tokenizer::find(std::string_view text) const {
  if (const auto added = state_->added_ids.find(std::string(text)); added != state_->added_ids.end())
    return added->second;
  return state_->plain.find(state_->texts, text);
}

std::optional<TokenId> Tokenizer::bos() const { return state_->data.bos; }
std::optional<TokenId> Tokenizer::eos() const { return state_->data.eos; }
bool Tokenizer::add_bos() const { return state_->data.add_bos; }
bool Tokenizer::strip_first_space() const { return state_->data.strip_first_space; }

}  // namespace vitrine
