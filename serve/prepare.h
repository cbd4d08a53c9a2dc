// A request of an API -> requests of the engine: prompt, grammar, seeds.
#pragma once

#include "engine/engine.h"
#include "serve/api/answer.h"
#include "serve/api/chat_request.h"

namespace vitrine::serve {

struct Prepared {
  std::vector<Request> requests;  // one per answer, in the order of their indices
  Answer::Options answer;
};

// Costly (template, tokenizer, grammar); touches nothing that changes. usage and limit errors are the client's, naming
// the parameter.
Result<Prepared> prepare(const Engine& engine, const ChatRequest& request);

}  // namespace vitrine::serve
