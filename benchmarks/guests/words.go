// A program of the runtimes' comparison: words are made, counted in a map, and the most frequent ones found, in rounds.
// The argument is how many rounds; none is a start and nothing else.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
)

func main() {
	rounds := 0
	if len(os.Args) > 1 {
		rounds, _ = strconv.Atoi(os.Args[1])
	}
	counts := map[string]int{}
	seed := uint32(1)
	for ; rounds > 0; rounds-- {
		var text strings.Builder
		for range 4096 {
			seed = seed*1664525 + 1013904223
			text.WriteString("w")
			text.WriteString(strconv.Itoa(int(seed >> 22)))
			text.WriteByte(' ')
		}
		for _, word := range strings.Fields(text.String()) {
			counts[word]++
		}
	}
	words := make([]string, 0, len(counts))
	for word := range counts {
		words = append(words, word)
	}
	sort.Slice(words, func(a, b int) bool {
		if counts[words[a]] != counts[words[b]] {
			return counts[words[a]] > counts[words[b]]
		}
		return words[a] < words[b]
	})
	fmt.Println(len(words), strings.Join(words[:min(3, len(words))], " "))
}
