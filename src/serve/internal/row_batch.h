#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "serve/judge.h"

namespace nidus::serve::internal {

// Rows of requests that arrived together, judged together. A row and the ticket of who asked for it are put
// in by one call and stand at the same place of two lists that only grow until both are emptied, so an answer
// cannot go to somebody else.
//
// Not thread-safe: one for each thread.
template <class Ticket>
class RowBatch {
 public:
  static constexpr std::size_t kRowsMax = 256;  // then it is judged, whatever else has arrived

  // Where the next row for this detector is to be written. Becomes part of the batch by commit() only.
  // `served` must be the one given to commit().
  double* place(const std::shared_ptr<const Served>& served, const Wanted& wanted) {
    Group& group = group_of(served, wanted);
    group.rows.resize((group.tickets.size() + 1) * served->active->inputs());
    return group.rows.data() + group.tickets.size() * served->active->inputs();
  }

  void commit(const std::shared_ptr<const Served>& served, const Wanted& wanted, Ticket ticket) {
    group_of(served, wanted).tickets.push_back(std::move(ticket));
    ++size_;
  }

  std::size_t size() const { return size_; }
  bool is_full() const { return size_ >= kRowsMax; }

  // Judges all and calls answer(ticket, served, judged, row) for each, in the order of arrival for each
  // detector. `answer` may put further rows in; they wait for the next call.
  template <class Answer>
  void judge(Judge& judge, Answer&& answer) {
    size_ = 0;
    groups_.swap(work_);
    for (auto& group : work_) {
      const std::size_t count = group.tickets.size();
      if (count == 0) continue;
      judge.judge(group.served, std::span<const double>(group.rows), count, group.wanted, judged_);
      for (std::size_t i = 0; i < count; ++i) answer(group.tickets[i], *group.served, judged_, i);
    }
    // Detectors that nobody asks are let go; the memory of the others is kept.
    std::erase_if(work_, [](const Group& group) { return group.tickets.empty(); });
    for (auto& group : work_) {
      group.tickets.clear();
      group.rows.clear();
    }
    if (groups_.empty()) groups_.swap(work_);
    work_.clear();
    for (auto& group : groups_) {
      if (group.tickets.empty()) group.served = nullptr;
    }
  }

 private:
  struct Group {
    std::shared_ptr<const Served> served;
    Wanted wanted;
    std::vector<double> rows;
    std::vector<Ticket> tickets;
  };

  Group& group_of(const std::shared_ptr<const Served>& served, const Wanted& wanted) {
    Group* spare = nullptr;
    for (auto& group : groups_) {
      if (group.served == served && group.wanted.members == wanted.members &&
          group.wanted.configuration == wanted.configuration)
        return group;
      if (!group.served) spare = &group;
    }
    if (spare == nullptr) spare = &groups_.emplace_back();
    spare->served = served;
    spare->wanted = wanted;
    return *spare;
  }

  std::vector<Group> groups_, work_;
  std::size_t size_ = 0;
  Judged judged_;
};

}  // namespace nidus::serve::internal
