package main

import (
	"fmt"

	"kvgateway/test/checkers/adversary/attack"
)

// mostTold is how many claims that did not hold are printed for each attack.
const mostTold = 8

func tellAttacks() {
	for _, a := range attack.All {
		fmt.Printf("%-22s %s\n", a.Name, a.About)
	}
}

func tellHead() {
	fmt.Printf(
		"%-24s %8s %7s %8s %8s %8s %6s %9s %7s %7s %8s\n",
		"attack",
		"requests",
		"refused",
		"p50",
		"p99",
		"max",
		"ratio",
		"peak RSS",
		"gateway",
		"cores",
		"end",
	)
}

// tell prints the row of an attack, and below it what did not hold.
func tell(o Outcome, harmless Curve, failures []Failure) {
	p99 := o.Quantile(0.99)
	ratio := "-"
	if beside := harmless.At(o.Cores); beside > 0 {
		ratio = fmt.Sprintf("%.1f", p99.Seconds()/beside.Seconds())
	}
	fmt.Printf(
		"%-24s %8d %7d %8v %8v %8v %6s %5d MiB %7.2f %7.2f %8v\n",
		o.Name,
		len(o.Samples),
		len(o.wrong()),
		round(
			o.Quantile(0.5),
		),
		round(p99),
		round(o.Quantile(1)),
		ratio,
		o.Peak>>20,
		o.Gateway,
		o.Cores,
		round(o.Ended),
	)
	for i, f := range failures {
		if i == mostTold {
			fmt.Printf("    and %d more\n", len(failures)-i)
			break
		}
		fmt.Printf("    %s\n", f.Text)
	}
}
