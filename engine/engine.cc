#include "engine/engine.h"

#include <algorithm>
#include <deque>
#include <list>
#include <unordered_map>

#include "engine/answer_constraint.h"
#include "engine/model_text.h"
#include "engine/page_warmer.h"
#include "engine/scheduler.h"
#include "engine/stop_matcher.h"

namespace vitrine {
namespace {

constexpr int64_t kDefaultContext = 8192;
constexpr int64_t kHeldFactor = 4;  // with those that are held, so many times `sequences` may have begun

struct Sequence {
  Sequence(SequenceId number, Request r, const Tokenizer& tokenizer)
      : id(number),
        request(std::move(r)),
        tokens(request.prompt),
        sampler(request.sampling),
        detokenizer(tokenizer, !request.show_special),
        stop(request.stop) {
    sampler.see_prompt(request.prompt);
    usage.prompt_tokens = static_cast<int64_t>(tokens.size());
    if (request.grammar) constraint.emplace(request.grammar, request.constrain_after, request.may_end_unconstrained);
  }

  int64_t pending() const { return static_cast<int64_t>(tokens.size()) - blocks.tokens; }

  SequenceId id;
  Request request;
  std::vector<TokenId> tokens;  // prompt and answer
  KvBlocks blocks;              // reserved for all of it when it starts, so that nothing runs short midway
  Sampler sampler;
  StreamingDetokenizer detokenizer;
  StopMatcher stop;
  std::optional<AnswerConstraint> constraint;
  SequenceUsage usage;
  bool cancelled = false;
  bool held = false;
};

// A finished sequence whose cache may serve another prompt.
struct Kept {
  std::vector<TokenId> tokens;
  std::string salt;
  KvBlocks blocks;
};

size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + most, b.begin()).first - a.begin());
}

int64_t default_cache_tokens(const ModelConfig& config, const EngineOptions& options) {
  const int64_t wanted = options.sequences * options.context;
  if (options.cache_bytes == 0) return wanted;
  const auto room = static_cast<int64_t>(options.cache_bytes / config.kv_bytes_per_token(options.cache_type));
  return std::clamp(room, options.context, wanted);
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::cancelled: return "cancelled";
  }
  return "?";
}

struct Engine::State {
  State(Weights w, Tokenizer t, const EngineOptions& o) : weights(std::move(w)), tokenizer(std::move(t)), options(o) {}

  // ---- admission
  bool start(Sequence& sequence);
  bool drop_oldest_kept(const Kept* except);
  int64_t pages_of_kept(std::span<const int32_t> but) const;
  // ---- a step
  void admit();
  Result<Sampled> choose(Sequence& sequence, std::span<float> logits);
  SequenceOutput take_token(Sequence& sequence, Result<Sampled> sampled);
  // Nothing when some of these need their logits on the host: grammars, log probabilities.
  std::optional<Drawings> drawings(std::span<Sequence* const> wanting) const;
  void retire(Sequence& sequence);

  Weights weights;
  Tokenizer tokenizer;
  EngineOptions options;
  std::optional<ChatTemplate> chat;
  std::unique_ptr<TokenMasks> masks;  // from the first request with a grammar on
  std::unique_ptr<ModelRunner> runner;
  std::deque<std::unique_ptr<Sequence>> waiting;
  std::vector<std::unique_ptr<Sequence>> running;   // in order of arrival
  std::vector<std::unique_ptr<Sequence>> finished;  // by the last step
  std::list<Kept> kept;                             // the oldest first
  SequenceId next_id = 1;
  size_t first = 0;                    // whose turn it is when a step cannot hold all
  std::unique_ptr<PageWarmer> warmer;  // reads `weights`: ends before them
};

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::open(const std::string& path, Ops& ops, const EngineOptions& wanted,
                                             const LoadProgress& progress) {
  auto weights = Weights::open(path);
  if (!weights) return tl::make_unexpected(weights.error());
  auto tokenizer = load_tokenizer(*weights);
  if (!tokenizer) return tl::make_unexpected(tokenizer.error());
  const auto source = wanted.chat_template.empty() ? load_chat_template(*weights) : wanted.chat_template;
  if (!source) return tl::make_unexpected(source.error());

  EngineOptions options = wanted;
  const int64_t made_for = weights->config().context;
  if (options.context == 0) options.context = std::min(made_for, kDefaultContext);
  if (options.context < 1 || options.context > made_for) {
    return fail(ErrorCode::usage, "the context must be 1 to " + std::to_string(made_for) + " tokens for this model");
  }
  if (options.sequences < 1 || options.step_tokens < options.sequences || options.kept_sequences < 0) {
    return fail(ErrorCode::usage, "a step must hold at least one token of each sequence");
  }
  options.chat_template = *source;
  auto state = std::make_unique<State>(std::move(*weights), std::move(*tokenizer), options);
  if (!source->empty()) {
    auto chat = ChatTemplate::parse(*source);
    if (!chat) return tl::make_unexpected(chat.error());
    state->chat.emplace(std::move(*chat));
  }
  auto model = load_model(state->weights, ops, progress, options.placement);
  if (!model) return tl::make_unexpected(model.error());
  if (state->options.cache_tokens == 0) state->options.cache_tokens = default_cache_tokens((*model)->config(), options);
  RunnerOptions runner;
  runner.step_tokens = options.step_tokens;
  runner.sequences = runner.outputs = options.sequences;
  runner.kv.tokens = state->options.cache_tokens;
  runner.kv.type = options.cache_type;
  runner.kv.zero_freed_pages = options.zero_freed_pages;
  auto created = ModelRunner::create(std::move(*model), ops, runner);
  if (!created) return tl::make_unexpected(created.error());
  state->runner = std::move(*created);
  state->warmer = std::make_unique<PageWarmer>(state->weights.tensor_bytes());
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

const ModelConfig& Engine::config() const { return state_->weights.config(); }
const Tokenizer& Engine::tokenizer() const { return state_->tokenizer; }
const ChatTemplate* Engine::chat_template() const { return state_->chat ? &*state_->chat : nullptr; }
const std::string& Engine::chat_template_source() const { return state_->options.chat_template; }
const Weights& Engine::weights() const { return state_->weights; }
int64_t Engine::context() const { return state_->options.context; }
uint64_t Engine::cache_bytes() const { return state_->runner->kv().bytes(); }
bool Engine::busy() const { return !state_->waiting.empty() || !state_->running.empty(); }

Result<SequenceId> Engine::add(Request request) {
  if (Status status = check(request.sampling); !status) return tl::make_unexpected(status.error());
  if (request.prompt.empty()) return fail(ErrorCode::usage, "the prompt is empty");
  if (request.grammar && request.ignore_end) {
    return fail(ErrorCode::usage, "an answer with a grammar ends where the grammar does: ignore_end is not possible");
  }
  if (request.grammar && !state_->masks) state_->masks = std::make_unique<TokenMasks>(state_->tokenizer);
  if (request.max_tokens < 0) return fail(ErrorCode::usage, "max_tokens must not be negative");
  for (const TokenId id : request.prompt) {
    if (id < 0 || static_cast<uint32_t>(id) >= config().vocabulary) {
      return fail(ErrorCode::usage, "token " + std::to_string(id) + " is outside the vocabulary");
    }
  }
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t room = std::min(state_->options.context, state_->options.cache_tokens) - prompt;
  if (room < 1) {
    return fail(ErrorCode::limit, "the prompt has " + std::to_string(prompt) + " tokens; the context holds " +
                                      std::to_string(prompt + room) + " with the answer");
  }
  request.max_tokens = request.max_tokens == 0 ? room : std::min(request.max_tokens, room);
  state_->waiting.push_back(std::make_unique<Sequence>(state_->next_id, std::move(request), state_->tokenizer));
  return state_->next_id++;
}

void Engine::cancel(SequenceId id) {
  for (auto& sequence : state_->waiting) sequence->cancelled |= sequence->id == id;
  for (auto& sequence : state_->running) sequence->cancelled |= sequence->id == id;
}

void Engine::hold(SequenceId id, bool held) {
  for (auto& sequence : state_->waiting) {
    if (sequence->id == id) sequence->held = held;
  }
  for (auto& sequence : state_->running) {
    if (sequence->id == id) sequence->held = held;
  }
}

std::optional<SequenceUsage> Engine::usage(SequenceId id) const {
  const auto look = [id](const auto& sequences) -> std::optional<SequenceUsage> {
    for (const auto& sequence : sequences) {
      if (sequence->id == id) return sequence->usage;
    }
    return std::nullopt;
  };
  if (auto found = look(state_->running)) return found;
  if (auto found = look(state_->finished)) return found;
  return look(state_->waiting);
}

bool Engine::State::drop_oldest_kept(const Kept* except) {
  for (auto at = kept.begin(); at != kept.end(); ++at) {
    if (&*at == except) continue;
    runner->kv().release(at->blocks);
    kept.erase(at);
    return true;
  }
  return false;
}

// How many pages only kept sequences hold, without those of `but`.
int64_t Engine::State::pages_of_kept(std::span<const int32_t> but) const {
  std::unordered_map<int32_t, int32_t> holders;
  for (const Kept& one : kept) {
    for (const int32_t page : one.blocks.pages) ++holders[page];
  }
  for (const int32_t page : but) holders.erase(page);
  const PagePool& pool = runner->kv().pool();
  return std::count_if(holders.begin(), holders.end(),
                       [&pool](const auto& page) { return page.second == pool.holders(page.first); });
}

// Pages for everything it may generate; the longest prefix that a kept or a running sequence has
// computed is shared, or taken over where both do not fit. False, and nothing changed, when it must
// wait for others to end.
bool Engine::State::start(Sequence& sequence) {
  PagedKvCache& kv = runner->kv();
  // The last token of a prompt is always computed: its logits are wanted.
  const std::span<const TokenId> reusable = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  const std::string& salt = sequence.request.cache_salt;
  const KvBlocks* source = nullptr;
  Kept* kept_source = nullptr;
  size_t shared = 0;
  const auto consider = [&](std::span<const TokenId> tokens, const KvBlocks& blocks, Kept* owner) {
    const size_t common = common_prefix(tokens.first(static_cast<size_t>(blocks.tokens)), reusable);
    if (common <= shared) return;
    shared = common;
    source = &blocks;
    kept_source = owner;
  };
  for (Kept& other : kept) {
    if (other.salt == salt) consider(other.tokens, other.blocks, &other);
  }
  for (const auto& other : running) {
    if (other->request.cache_salt == salt) consider(other->tokens, other->blocks, nullptr);
  }
  const int64_t total = static_cast<int64_t>(sequence.tokens.size()) + sequence.request.max_tokens;
  const size_t shared_pages = shared / static_cast<size_t>(kv.page_tokens());
  const int64_t wanted = kv.pages_for(total) - static_cast<int64_t>(shared_pages);
  const auto still_shared = source ? std::span(source->pages).first(shared_pages) : std::span<const int32_t>();
  if (wanted > kv.pool().free() + pages_of_kept(still_shared)) return false;
  while (wanted > kv.pool().free() && drop_oldest_kept(kept_source)) {
  }
  const auto prefix = static_cast<int64_t>(shared);
  if (kept_source != nullptr && wanted > kv.pool().free()) {
    kv.take_over(kept_source->blocks, prefix, sequence.blocks);
    kept.remove_if([kept_source](const Kept& one) { return &one == kept_source; });
  } else if (source != nullptr) {
    kv.fork(*source, prefix, sequence.blocks);
  }
  sequence.usage.cached_tokens = sequence.blocks.tokens;
  return kv.reserve(sequence.blocks, total);
}

void Engine::State::admit() {
  auto active = std::count_if(running.begin(), running.end(), [](const auto& sequence) { return !sequence->held; });
  while (!waiting.empty() && active < options.sequences &&
         static_cast<int64_t>(running.size()) < kHeldFactor * options.sequences) {
    if (!waiting.front()->cancelled && !start(*waiting.front())) return;
    active += waiting.front()->held ? 0 : 1;
    running.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
}

// The sequence ended: its pages are kept or freed.
void Engine::State::retire(Sequence& sequence) {
  PagedKvCache& kv = runner->kv();
  if (options.kept_sequences == 0 || sequence.blocks.tokens == 0) {
    kv.release(sequence.blocks);
    return;
  }
  kv.shrink(sequence.blocks);
  sequence.tokens.resize(static_cast<size_t>(sequence.blocks.tokens));
  kept.push_back({std::move(sequence.tokens), sequence.request.cache_salt, std::move(sequence.blocks)});
  while (static_cast<int64_t>(kept.size()) > options.kept_sequences) drop_oldest_kept(nullptr);
}

Result<Sampled> Engine::State::choose(Sequence& sequence, std::span<float> logits) {
  if (!sequence.constraint) return sequence.sampler.next(logits);
  const auto mask = sequence.constraint->allowed(*masks, tokenizer);
  if (!mask) return tl::make_unexpected(mask.error());
  return sequence.sampler.next(logits, *mask);
}

std::optional<Drawings> Engine::State::drawings(std::span<Sequence* const> wanting) const {
  if (!runner->draws() || wanting.empty()) return std::nullopt;
  Drawings out;
  for (const Sequence* sequence : wanting) {
    if (sequence->constraint || sequence->sampler.wants_logprobs()) return std::nullopt;
    out.rows.push_back(sequence->sampler.row(out.edits));
  }
  if (out.edits.size() > Drawings::kMostEdits) return std::nullopt;
  return out;
}

SequenceOutput Engine::State::take_token(Sequence& sequence, Result<Sampled> sampled) {
  SequenceOutput output;
  if (!sampled) {
    output.error = sampled.error();
    return output;
  }
  const TokenId id = sampled->id;
  output.tokens.push_back(std::move(*sampled));
  sequence.tokens.push_back(id);
  ++sequence.usage.generated_tokens;
  if (tokenizer.ends_generation(id) && !sequence.request.ignore_end) {
    output.finished = FinishReason::stop;
  } else {
    if (sequence.constraint && !sequence.constraint->accept(id, tokenizer)) {
      output.error = Error{ErrorCode::internal, "the sampler chose a token that the grammar does not allow", {}};
      return output;
    }
    output.text = sequence.stop.push(sequence.detokenizer.push(id));
    if (sequence.constraint && sequence.constraint->complete()) {
      output.finished = FinishReason::stop;
    } else if (!sequence.stop.stopped() && sequence.usage.generated_tokens == sequence.request.max_tokens) {
      output.finished = FinishReason::length;
    }
  }
  if (output.finished) output.text += sequence.stop.push(sequence.detokenizer.finish());
  if (sequence.stop.stopped()) {
    output.finished = FinishReason::stop;
  } else if (output.finished) {
    output.text += sequence.stop.finish();
  }
  return output;
}

Result<std::vector<SequenceOutput>> Engine::step() {
  State& s = *state_;
  s.finished.clear();
  s.admit();
  std::vector<SequenceOutput> outputs;
  std::vector<Sequence*> active;
  std::vector<int64_t> pending;
  for (auto& sequence : s.running) {
    if (sequence->cancelled) {
      SequenceOutput output;
      output.sequence = sequence->id;
      // What was held back is lost on purpose: it may be the start of a stop string.
      output.finished = FinishReason::cancelled;
      outputs.push_back(std::move(output));
    } else if (!sequence->held) {
      active.push_back(sequence.get());
      pending.push_back(sequence->pending());
    }
  }
  const StepLimits limits = {.tokens = s.options.step_tokens, .sequences = s.options.sequences};
  const std::vector<Share> shares = schedule(pending, limits, s.first);
  if (!active.empty()) s.first = (s.first + shares.size()) % active.size();

  std::vector<Piece> pieces;
  for (const Share& share : shares) {
    Sequence& sequence = *active[share.sequence];
    const auto from = static_cast<size_t>(sequence.blocks.tokens);
    pieces.push_back({&sequence.blocks, std::span(sequence.tokens).subspan(from, static_cast<size_t>(share.tokens)),
                      share.tokens == pending[share.sequence] ? Piece::Logits::last : Piece::Logits::none});
  }
  std::vector<Sequence*> wanting;  // a token
  for (size_t i = 0; i < shares.size(); ++i) {
    if (pieces[i].logits == Piece::Logits::last) wanting.push_back(active[shares[i].sequence]);
  }
  const std::optional<Drawings> drawings = s.drawings(wanting);
  std::span<float> logits;
  std::span<const TokenId> drawn;
  if (drawings) {
    const auto tokens = s.runner->draw(pieces, *drawings);
    if (!tokens) return tl::make_unexpected(tokens.error());
    drawn = *tokens;
  } else {
    const auto rows = s.runner->run(pieces);
    if (!rows) return tl::make_unexpected(rows.error());
    logits = *rows;
  }

  size_t row = 0;
  const size_t vocabulary = config().vocabulary;
  for (size_t i = 0; i < shares.size(); ++i) {
    Sequence& sequence = *active[shares[i].sequence];
    SequenceOutput output;
    if (pieces[i].logits == Piece::Logits::last) {
      output = s.take_token(sequence, drawings ? sequence.sampler.drawn(drawn[row])
                                               : s.choose(sequence, logits.subspan(row * vocabulary, vocabulary)));
      ++row;
    }
    output.sequence = sequence.id;
    output.prompt_done = std::min(sequence.blocks.tokens, sequence.usage.prompt_tokens);
    outputs.push_back(std::move(output));
  }
  for (const SequenceOutput& output : outputs) {
    if (!output.finished && !output.error) continue;
    const auto at = std::find_if(s.running.begin(), s.running.end(),
                                 [&](const auto& sequence) { return sequence->id == output.sequence; });
    s.retire(**at);
    s.finished.push_back(std::move(*at));
    s.running.erase(at);
  }
  return outputs;
}

}  // namespace vitrine
