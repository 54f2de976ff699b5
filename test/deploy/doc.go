// Package deploy checks the files of the directory deploy, each with the code of the tool that
// reads it.
package deploy
