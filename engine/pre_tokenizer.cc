#include "engine/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/text.h"
#include "engine/unicode.h"

namespace vitrine {
namespace {

// The members of \s in Oniguruma's Unicode mode. PCRE2's \s has U+180E too.
constexpr std::string_view kSpaceMembers =
    "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";

constexpr std::string_view kLlama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
    "\\s+(?!\\S)|\\s+";
constexpr std::string_view kQwen2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
    "\\s+(?!\\S)|\\s+";
constexpr std::string_view kDeepSeekV3Digits = "\\p{N}{1,3}";
// CJK ideographs, Hiragana, Katakana.
constexpr std::string_view kDeepSeekV3Cjk = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kDeepSeekV3Words =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
    "[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
// GPT-4o's, also gpt-oss.
constexpr std::string_view kO200k =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|"
    "'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'"
    "m|"
    "'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
// DeepSeek-LLM and V2: cased letters of most scripts (the file lists ranges).
constexpr std::string_view kDeepSeekLlmLetters =
    "\\s?["
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}"
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}"
    "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}"
    "\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}"
    "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}"
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"
    "\\x{1E900}-\\x{1E943}"
    "]+";
constexpr std::string_view kDeepSeekLlmPunctuation =
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+";
constexpr std::string_view kDeepSeekLlmCjk = "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+";
constexpr std::string_view kTrailingSpace = "\\s+$";
// The same matches as kTrailingSpace in linear time: the plain form tries every
// position of a run of white space that something follows.
constexpr std::string_view kTrailingSpaceLinear = "(?<!\\s)\\s++$";
constexpr std::string_view kDigit = "\\p{N}";
constexpr std::string_view kDigits = "\\p{N}+";
constexpr std::string_view kNewline = "[\\r\\n]";

// These were looked at: each match costs time linear in its length. They may be
// compiled to machine code; a pattern nobody looked at is interpreted.
constexpr std::array kKnownPatterns = {kGpt2Pattern,
                                       kLlama3,
                                       kQwen2,
                                       kDeepSeekV3Digits,
                                       kDeepSeekV3Cjk,
                                       kDeepSeekV3Words,
                                       kO200k,
                                       kDeepSeekLlmLetters,
                                       kDeepSeekLlmPunctuation,
                                       kDeepSeekLlmCjk,
                                       kTrailingSpaceLinear,
                                       kDigit,
                                       kDigits,
                                       kNewline};

constexpr size_t kMaxPattern = 16384;
constexpr size_t kMaxSteps = 16;
constexpr uint32_t kMaxNesting = 32;
constexpr uint32_t kHeapKib = 64 << 10;

// Spells \s and \S out. Nothing when \S stands within a bracket, which no
// expression of a known model does.
std::optional<std::string> spell_out_space(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        if (in_class) {
          out.append(kSpaceMembers);
        } else {
          out.append("[").append(kSpaceMembers).append("]");
        }
      } else if (escaped == 'S') {
        if (in_class) return std::nullopt;
        out.append("[^").append(kSpaceMembers).append("]");
      } else {
        out.push_back(c);
        out.push_back(escaped);
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out.push_back(c);
      // A ']' right after the bracket (and '^') is a member.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out.push_back(pattern[++i]);
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out.push_back(pattern[++i]);
      continue;
    }
    if (c == ']') in_class = false;
    out.push_back(c);
  }
  return out;
}

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  const int length = pcre2_get_error_message(code, text.data(), text.size());
  return length > 0 ? std::string(reinterpret_cast<const char*>(text.data()), static_cast<size_t>(length))
                    : "error " + std::to_string(code);
}

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

Result<Owned<pcre2_code>> compile(std::string_view pattern, bool& known) {
  if (pattern.size() > kMaxPattern) return fail(ErrorCode::limit, "a pre-tokenizer expression longer than 16 KiB");
  if (pattern == kTrailingSpace) pattern = kTrailingSpaceLinear;
  known = std::find(kKnownPatterns.begin(), kKnownPatterns.end(), pattern) != kKnownPatterns.end();
  const auto spelled = spell_out_space(pattern);
  if (!spelled) return fail(ErrorCode::unsupported, "\\S within brackets in a pre-tokenizer expression");
  const Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  if (!context) return fail(ErrorCode::limit, "no memory for a regular expression");
  pcre2_set_parens_nest_limit(context.get(), kMaxNesting);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Owned<pcre2_code> code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled->data()), spelled->size(),
                                       PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                                       &offset, context.get()));
  if (!code) {
    return fail(ErrorCode::unsupported,
                "a pre-tokenizer expression does not compile: " + pcre_message(error) + ": " + std::string(pattern));
  }
  if (known) pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without it: slower, the same matches
  return code;
}

}  // namespace

struct PreTokenizer::Step {
  PreTokenizerStep::Kind kind;
  Owned<pcre2_code> code;  // split, keep
  bool known = false;
  std::string replacement;  // metaspace
  PreTokenizerStep::Prepend prepend = PreTokenizerStep::Prepend::never;
  bool split_words = false;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;

Result<PreTokenizer> PreTokenizer::create(const std::vector<PreTokenizerStep>& steps) {
  if (steps.size() > kMaxSteps) return fail(ErrorCode::limit, "more than 16 pre-tokenizer steps");
  PreTokenizer result;
  for (size_t i = 0; i < steps.size(); ++i) {
    Step step;
    step.kind = steps[i].kind;
    if (step.kind == PreTokenizerStep::Kind::metaspace) {
      // It rewrites the text, so nothing may hold views of it yet.
      if (i != 0) return fail(ErrorCode::unsupported, "a Metaspace pre-tokenizer behind another one");
      if (steps[i].pattern.empty()) return fail(ErrorCode::malformed, "a Metaspace pre-tokenizer without replacement");
      step.replacement = steps[i].pattern;
      step.prepend = steps[i].prepend;
      step.split_words = steps[i].split_words;
    } else {
      auto code = compile(steps[i].pattern, step.known);
      if (!code) return tl::unexpected(code.error());
      step.code = std::move(*code);
    }
    result.steps_.push_back(std::move(step));
  }
  return result;
}

namespace {

// Processor time of this thread, in seconds: how busy the machine is must not decide.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Work {
  Owned<pcre2_match_context> context;
  double deadline = 0;  // in thread_seconds()
  bool watch = false;   // look at the clock: an expression nobody looked at
};

std::string_view first_character(std::string_view text, size_t at) {
  return text.substr(at, utf8_step(text, at).length);
}

// Appends the pieces of `text`. `keep_rest`: what lies between matches is a piece too.
Status split_piece(const pcre2_code* code, pcre2_match_data* match, const Work& work, std::string_view text,
                   bool keep_rest, std::vector<std::string_view>& out) {
  size_t piece = 0;  // start of what no match has taken
  size_t from = 0;
  const auto rest_until = [&](size_t end) {
    if (keep_rest && end > piece) out.push_back(text.substr(piece, end - piece));
  };
  while (from < text.size()) {
    const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                  PCRE2_NO_UTF_CHECK, match, work.context.get());
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) {
      return fail(ErrorCode::limit,
                  "a pre-tokenizer expression needs too much work on this text: " + pcre_message(count));
    }
    if (work.watch && thread_seconds() > work.deadline) {
      return fail(ErrorCode::limit, "a pre-tokenizer expression takes too long on this text");
    }
    const PCRE2_SIZE* const offsets = pcre2_get_ovector_pointer(match);
    // \K can put the start behind the end or before `from`.
    const size_t begin = std::max<size_t>(offsets[0], piece), end = offsets[1];
    if (end <= begin || begin < from) {  // an empty match takes nothing
      from += first_character(text, from).size();
      continue;
    }
    rest_until(begin);
    out.push_back(text.substr(begin, end - begin));
    piece = from = end;
  }
  rest_until(text.size());
  return {};
}

}  // namespace

Result<std::vector<std::string_view>> PreTokenizer::split(std::string_view text, bool first,
                                                          std::string& scratch) const {
  std::vector<std::string_view> pieces;
  if (text.empty()) return pieces;
  Work work;
  work.context.reset(pcre2_match_context_create(nullptr));
  if (!work.context) return fail(ErrorCode::limit, "no memory for a regular expression");
  // Per match: a few steps for each byte, however it is walked.
  const uint64_t steps = 100'000 + 64 * static_cast<uint64_t>(text.size());
  pcre2_set_match_limit(work.context.get(), static_cast<uint32_t>(std::min<uint64_t>(steps, 1u << 30)));
  pcre2_set_heap_limit(work.context.get(), kHeapKib);
  // Per text: matches may each use their limit, at every character. The clock
  // decides only between an answer and a refusal, never between two answers.
  work.deadline = thread_seconds() + 2 + 1e-5 * static_cast<double>(text.size());

  pieces.push_back(text);
  std::vector<std::string_view> next;
  for (const Step& step : steps_) {
    next.clear();
    if (step.kind == PreTokenizerStep::Kind::metaspace) {
      scratch.clear();
      const auto wants = step.prepend;
      const bool has = text.substr(0, 1) == " " || text.substr(0, step.replacement.size()) == step.replacement;
      if (!has &&
          (wants == PreTokenizerStep::Prepend::always || (wants == PreTokenizerStep::Prepend::first && first))) {
        scratch.append(step.replacement);
      }
      for (const char c : text) {
        if (c == ' ') {
          scratch.append(step.replacement);
        } else {
          scratch.push_back(c);
        }
      }
      const std::string_view whole = scratch;
      size_t begin = 0;
      while (step.split_words) {
        const size_t end = whole.find(step.replacement, begin + (begin < whole.size() ? 1 : 0));
        if (end == whole.npos) break;
        if (end > begin) next.push_back(whole.substr(begin, end - begin));
        begin = end;
      }
      next.push_back(whole.substr(begin));
    } else {
      const Owned<pcre2_match_data> match(pcre2_match_data_create_from_pattern(step.code.get(), nullptr));
      if (!match) return fail(ErrorCode::limit, "no memory for a regular expression");
      work.watch = !step.known;
      for (const std::string_view piece : pieces) {
        const auto done =
            split_piece(step.code.get(), match.get(), work, piece, step.kind == PreTokenizerStep::Kind::split, next);
        if (!done) return tl::unexpected(done.error());
      }
    }
    pieces.swap(next);
  }
  return pieces;
}

Status apply_named_pre_tokenizer(std::string_view name, TokenizerData& data) {
  std::vector<std::string_view> patterns;
  bool nfc = false;
  if (name == "gpt-2" || name == "gpt2") {
    patterns = {kGpt2Pattern};
  } else if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") {
    patterns = {kLlama3};
    data.ignore_merges = true;  // Llama 3's own files say so; GGUF has no key for it
  } else if (name == "qwen2") {
    patterns = {kQwen2};
    nfc = true;
  } else if (name == "deepseek-r1-qwen") {
    // Qwen's expression with DeepSeek's settings, which have no normalizer.
    patterns = {kQwen2};
  } else if (name == "deepseek-llm") {
    patterns = {kNewline, kDeepSeekLlmLetters, kDeepSeekLlmPunctuation, kTrailingSpace, kDeepSeekLlmCjk, kDigit};
  } else if (name == "deepseek-v3") {
    patterns = {kDeepSeekV3Digits, kDeepSeekV3Cjk, kDeepSeekV3Words};
  } else if (name == "smollm") {
    patterns = {kDigit, kGpt2Pattern};
  } else if (name == "gpt-4o") {
    patterns = {kO200k};
    data.ignore_merges = true;  // as tokenizer.json of gpt-oss
  } else {
    return fail(ErrorCode::unsupported, "pre-tokenizer " + quoted_name(name) +
                                            " is not known; known are gpt-2, llama-bpe, qwen2, deepseek-llm, "
                                            "deepseek-v3, deepseek-r1-qwen, smollm, gpt-4o");
  }
  data.pre_tokenizer.clear();
  data.normalizer.clear();
  for (const std::string_view pattern : patterns) {
    PreTokenizerStep step;
    step.pattern = std::string(pattern);
    data.pre_tokenizer.push_back(std::move(step));
  }
  if (nfc) data.normalizer.push_back({NormalizerStep::Kind::nfc, {}, {}});
  return {};
}

}  // namespace vitrine
