#include "serve/generation.h"

#include <boost/asio/post.hpp>
#include <chrono>

#include "serve/prepare.h"

namespace vitrine::serve {
namespace {

using Clock = std::chrono::steady_clock;

int status_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::internal: return 500;
    case ErrorCode::unreadable: return 500;
    default: return 400;
  }
}

// Owner: what is under way for it (callbacks of jobs and of the responder).
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(GenerationContext& context, Api api, ChatRequest request, std::unique_ptr<AnswerWriter> writer,
             std::string owner, std::shared_ptr<Responder> responder, Headers headers)
      : context_(context),
        api_(api),
        request_(std::move(request)),
        writer_(std::move(writer)),
        owner_(std::move(owner)),
        responder_(std::move(responder)),
        headers_(std::move(headers)) {}

  void start() {
    responder_->on_gone([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->cancel();
    });
    boost::asio::post(context_.workers, [self = shared_from_this()] {
      auto prepared = prepare(self->context_.engine, self->request_);
      boost::asio::post(self->context_.io,
                        [self, prepared = std::move(prepared)]() mutable { self->submit(std::move(prepared)); });
    });
  }

 private:
  void submit(Result<Prepared> prepared) {
    if (responder_->gone()) return;
    if (!prepared) return fail_with(prepared.error());
    prompts_.resize(prepared->requests.size() / static_cast<size_t>(request_.choices));
    for (Request& request : prepared->requests) {
      request.cache_salt = owner_;
      const size_t index = answers_.size();
      answers_.emplace_back(prepared->answer);
      whole_.emplace_back();
      Job job;
      job.request = std::move(request);
      job.owner = owner_;
      job.on_event = [self = shared_from_this(), index](JobEvent event) {
        boost::asio::post(self->context_.io, [self, index, event = std::move(event)] { self->on_event(index, event); });
      };
      const auto id = context_.service.submit(std::move(job));
      if (!id) {
        cancel();
        ended_ = true;
        return send_error(*responder_, api_, id.error(), headers_, 429, "too_many_requests");
      }
      jobs_.push_back(*id);
    }
    left_ = jobs_.size();
  }

  void on_event(size_t index, const JobEvent& event) {
    if (ended_ || responder_->gone()) return;
    if (event.output.error) {
      cancel();
      return fail_with(*event.output.error);
    }
    if (!event.output.tokens.empty() && first_token_ == Clock::time_point()) first_token_ = Clock::now();
    if (event.output.finished) {
      // Of all answers to one prompt the same, counted once.
      SequenceUsage& prompt = prompts_[index / static_cast<size_t>(request_.choices)];
      prompt.prompt_tokens = event.usage.prompt_tokens;
      prompt.cached_tokens = std::max(prompt.cached_tokens, event.usage.cached_tokens);
      totals_.generated_tokens += event.usage.generated_tokens;
      --left_;
    }
    Delta delta = answers_[index].push(event.output);
    if (event.output.finished == FinishReason::cancelled) delta.finish = "stop";  // by a server that stops
    if (request_.stream) {
      if (!begun_) begin_stream();
      if (!delta.empty()) send_event(writer_->event(delta, static_cast<int64_t>(index)));
    } else {
      join(whole_[index], std::move(delta));
    }
    if (left_ == 0) {
      end();
    } else if (responder_->backlog() > context_.backlog_bytes && !held_) {
      hold();
    }
  }

  void begin_stream() {
    begun_ = true;
    Headers headers = headers_;
    headers.emplace_back("Content-Type", std::string(writer_->content_type(true)));
    headers.emplace_back("Cache-Control", "no-store");
    responder_->start(200, std::move(headers));
  }

  // Every write is a multiple of the record size: how long a token is must not show.
  void send_event(std::string event) {
    if (event.empty()) return;
    if (const size_t record = context_.record_bytes; record > 0) {
      size_t missing = (record - event.size() % record) % record;
      if (missing > 0 && missing < writer_->padding_least()) missing += record;
      if (missing > 0) event += writer_->padding(missing);
    }
    responder_->write(event);
  }

  void end() {
    ended_ = true;
    const auto ns = [](Clock::duration d) { return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count(); };
    const Clock::time_point now = Clock::now();
    if (first_token_ == Clock::time_point()) first_token_ = now;
    totals_.prompt_ns = ns(first_token_ - started_);
    totals_.generate_ns = ns(now - first_token_);
    totals_.total_ns = ns(now - started_);
    for (const SequenceUsage& prompt : prompts_) {
      totals_.prompt_tokens += prompt.prompt_tokens;
      totals_.cached_tokens += prompt.cached_tokens;
    }
    for (const Answer& answer : answers_) totals_.reasoning_tokens += answer.reasoning_tokens();
    if (request_.stream) {
      send_event(writer_->end(totals_));
      return responder_->finish();
    }
    Headers headers = headers_;
    headers.emplace_back("Content-Type", std::string(writer_->content_type(false)));
    responder_->send(200, std::move(headers), writer_->body(whole_, totals_));
  }

  static void join(Delta& whole, Delta delta) {
    whole.reasoning += delta.reasoning;
    whole.content += delta.content;
    whole.calls.insert(whole.calls.end(), delta.calls.begin(), delta.calls.end());
    whole.tokens.insert(whole.tokens.end(), delta.tokens.begin(), delta.tokens.end());
    if (delta.finish) whole.finish = std::move(delta.finish);
  }

  void fail_with(const Error& error) {
    ended_ = true;
    if (!begun_) return send_error(*responder_, api_, error, headers_);
    responder_->write(writer_->error_event(error));
    responder_->abort();
  }

  void hold() {
    held_ = true;
    for (const JobId job : jobs_) context_.service.hold(job, true);
    responder_->on_drained([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->held_ = false;
      for (const JobId job : self->jobs_) self->context_.service.hold(job, false);
    });
  }

  void cancel() {
    for (const JobId job : jobs_) context_.service.cancel(job);
  }

  GenerationContext& context_;
  const Api api_;
  const ChatRequest request_;
  std::unique_ptr<AnswerWriter> writer_;
  const std::string owner_;
  const std::shared_ptr<Responder> responder_;
  const Headers headers_;
  const Clock::time_point started_ = Clock::now();
  Clock::time_point first_token_;
  std::vector<JobId> jobs_;
  std::vector<Answer> answers_;
  std::vector<Delta> whole_;
  std::vector<SequenceUsage> prompts_;  // of each prompt
  AnswerTotals totals_;
  size_t left_ = 0;
  bool begun_ = false, ended_ = false, held_ = false;
};

}  // namespace

void generate(GenerationContext& context, Api api, ChatRequest request, std::unique_ptr<AnswerWriter> writer,
              std::string owner, std::shared_ptr<Responder> responder, Headers headers) {
  std::make_shared<Generation>(context, api, std::move(request), std::move(writer), std::move(owner),
                               std::move(responder), std::move(headers))
      ->start();
}

void send_error(Responder& responder, Api api, const Error& error, Headers headers, int status, std::string_view code) {
  if (status == 0) status = status_of(error);
  if (status == 429 || status == 503) headers.emplace_back("Retry-After", "1");
  if (status == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
  headers.emplace_back("Content-Type", "application/json");
  responder.send(status, std::move(headers),
                 api == Api::openai ? openai_error(error, status, code) : ollama_error(error));
}

}  // namespace vitrine::serve
