package main

import (
	"fmt"

	"kvgateway/test/checkers/adversary/attack"
)

// mostPrinted is how many broken claims are printed for each attack.
const mostPrinted = 8

// printAttacks lists the attacks.
func printAttacks() {
	for _, a := range attack.All {
		fmt.Printf("%-22s %s\n", a.Name, a.About)
	}
}

// printHead prints the head of the table.
func printHead() {
	fmt.Printf("%-24s %8s %7s %8s %8s %8s %6s %9s %7s %7s %8s\n", "attack", "requests", "refused",
		"p50", "p99", "max", "ratio", "peak RSS", "gateway", "cores", "end")
}

// printRow prints the row of an attack, and below it the claims that did not hold.
func printRow(o Outcome, harmless Curve, failures []Failure) {
	p99 := o.Quantile(0.99)
	ratio := "-"
	if beside := harmless.At(o.Cores); beside > 0 {
		ratio = fmt.Sprintf("%.1f", p99.Seconds()/beside.Seconds())
	}
	fmt.Printf("%-24s %8d %7d %8v %8v %8v %6s %5d MiB %7.2f %7.2f %8v\n", o.Name, len(o.Samples),
		len(o.wrong()), round(o.Quantile(0.5)), round(p99), round(o.Quantile(1)), ratio, o.Peak>>20,
		o.Gateway, o.Cores, round(o.Ended))
	for i, f := range failures {
		if i == mostPrinted {
			fmt.Printf("    and %d more\n", len(failures)-i)
			break
		}
		fmt.Printf("    %s\n", f.Text)
	}
}
