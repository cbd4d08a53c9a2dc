// Maps the pages of a model's files in the background. A mapped file costs a fault
// for every 64 KiB that is read for the first time, about 0.2 s a gigabyte even
// when the file is in memory: a third of a prompt's time, if the prompt pays it.
#pragma once

#include <future>
#include <thread>
#include <vector>

#include "base/bytes.h"

namespace vitrine {

class PageWarmer {
 public:
  // Begins at once, range by range. `ranges` lie in mapped files and must live as
  // long as this. Does nothing when they are more than this machine's memory holds:
  // then the kernel knows better which of them to keep.
  explicit PageWarmer(std::vector<Bytes> ranges);
  ~PageWarmer() = default;  // stops within a few milliseconds

  void wait() const { done_.wait(); }

 private:
  std::future<void> done_;
  std::jthread thread_;
};

}  // namespace vitrine
