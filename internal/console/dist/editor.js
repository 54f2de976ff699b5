// Code generated from internal/console/src. DO NOT EDIT.
