// One request of a client, from its messages to the last byte of its answer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "serve/api/answer_writer.h"
#include "serve/api/chat_request.h"
#include "serve/engine_service.h"
#include "serve/http/responder.h"

namespace vitrine::serve {

// What all requests share; outlives them.
struct GenerationContext {
  boost::asio::io_context& io;        // the server's thread
  boost::asio::thread_pool& workers;  // prompts are rendered and tokenized here
  Engine& engine;                     // for its tokenizer, template and bounds; stepped by `service` alone
  EngineService& service;
  size_t backlog_bytes = 256 << 10;  // beyond, a reader is too slow and its sequences are held
  size_t record_bytes = 0;           // > 0: streams are padded to writes of this many bytes
};

enum class Api : uint8_t { openai, ollama };

// Answers through `responder`, on the server's thread. `salt` as Request::cache_salt.
void generate(GenerationContext& context, Api api, ChatRequest request, std::unique_ptr<AnswerWriter> writer,
              std::string owner, std::shared_ptr<Responder> responder, Headers headers);

// An error in the form of the API, with the status its class has.
void send_error(Responder& responder, Api api, const Error& error, Headers headers, int status = 0,
                std::string_view code = {});

}  // namespace vitrine::serve
