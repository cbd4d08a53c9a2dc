// What each open page has sent to this server, as the tap saw it: the typed
// fields of exactly its exchanges, for the glass panel.
//
// A page is known by the random id in the HTML that was sent to it. Its
// exchanges are the one that fetched that HTML (open_page() claims it) and those
// that carry the id, in the header `x-vitrine-page` or, where a browser sends no
// headers of the page's own (style sheet, script), as `page=ID` in the query.
//
// What a page has sent comes as Server-Sent Events (WHATWG HTML, 9.2):
//   exchange   {"exchange":"3.2","time","method","target","protocol"}; "3.0" is the connection itself
//   fields     one JSON object a data line, as `vitrine fields` prints them (capture/fields/field.schema.json)
//   closed     {"exchange","status","sent"}: bytes of the request
//   left-out   a number: how many earlier events were dropped to bound memory
// Contents are kept in memory only, for as long as the page is followed or is
// among the latest ones.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "audit/field_line.h"
#include "capture/exchange.h"
#include "capture/fields/field_json.h"

namespace vitrine::serve {

inline constexpr std::string_view kPageHeader = "x-vitrine-page";

struct GlassLimits {
  size_t pages = 32;              // remembered; the one unused for longest goes first
  size_t page_bytes = 4 << 20;    // of events kept of one page
  size_t followers_per_page = 4;  // more: the oldest ends
};

// On the server's thread. Subscribed to the tap by its owner.
class Glass : public ExchangeSink, private FieldSink {
 public:
  // `events` are whole events, in order; empty: there will be no more. Must not call back into Glass.
  using Follower = std::function<void(std::string_view events)>;
  using FollowerId = uint64_t;

  // Borrows `knowledge`.
  explicit Glass(const Knowledge& knowledge, GlassLimits limits = {});

  // A new page, whose HTML answers the oldest unanswered `GET /` of this connection of the tap's. Its id: 32 hex
  // digits.
  std::string open_page(ConnectionId connection);
  // Hands over what there is, then what comes. Nothing when there is no such page.
  std::optional<FollowerId> follow(const std::string& page, Follower follower);
  void unfollow(FollowerId follower);
  size_t pages() const { return pages_.size(); }

  void connection(const ConnectionInfo& info, ConnectionEvent event) override;
  void part(const Exchange& exchange, const Part& part) override;
  void closed(const Exchange& exchange, CloseReason reason) override;

 private:
  struct Page {
    std::deque<std::string> events;
    size_t bytes = 0;
    uint64_t left_out = 0;
    uint64_t used = 0;  // clock_ when it was last asked for or sent something
    std::set<ConnectionId> connections;
    std::map<FollowerId, Follower> followers;
  };
  struct Watched {
    std::string page;    // "": a `GET /` that is not answered yet
    std::string events;  // of such a one
  };

  void field(const Field& field) override;
  std::string page_of(const Exchange& exchange, const Part& part) const;
  void push(Page& page, std::string event);
  void forget_pages();
  std::string take_fields();

  const Knowledge& knowledge_;
  const GlassLimits limits_;
  FieldLine line_;
  FieldJsonWriter writer_;
  std::string fields_;  // data lines of the part that is being read
  std::map<std::string, Page, std::less<>> pages_;
  std::map<ExchangeId, Watched> exchanges_;
  std::map<ConnectionId, std::string> connections_;  // event text of the connection itself
  FollowerId next_follower_ = 1;
  uint64_t clock_ = 0;
};

}  // namespace vitrine::serve
