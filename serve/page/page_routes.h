// The page at `/`: its static files, what it has sent, what this process has opened.
//
//   GET /                    the HTML, with a new page id in it; never stored by the browser
//   GET /page/style.css, app.js, words.json   with an ETag
//   GET /page/fields?page=ID Server-Sent Events: those of serve/page/glass.h, and `connections` as below
//   GET /page/connections    JSON: the sockets this process holds (serve/page/connection_watch.h)
//
// Every response forbids the browser to load or call anything elsewhere.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "serve/page/connection_watch.h"
#include "serve/page/glass.h"
#include "serve/router.h"

namespace vitrine::serve {

struct PageContext {
  boost::asio::io_context& io;
  Glass& glass;
  ConnectionWatch& watch;
  std::function<ConnectionId(uint64_t connection)> tap_id;  // the tap's number of a server's connection
  std::function<bool()> asks_keys;
  std::string log;  // content kept of exchanges that are written to a file: "none", "hash", "full"; "": no file
  std::string version;
  std::string upstream;  // URL of the engine that requests are passed on to; "": the model is here
  std::function<uint64_t()> upstream_opened = [] { return uint64_t{0}; };  // connections to it so far
};

// Streams of /page/fields that are open. They never end by themselves.
class PageStreams {
 public:
  virtual ~PageStreams() = default;
  virtual void end() = 0;  // of a server that stops; new ones are refused from now on
};

// What `context` refers to outlives the router.
std::shared_ptr<PageStreams> add_page_routes(Router& router, PageContext context);

}  // namespace vitrine::serve
